"""Pictures for the pages that are written."""

import base64
import io
from types import SimpleNamespace

import matplotlib
from matplotlib.figure import Figure

# Okabe-Ito's blue, sky and orange, and text that reads on light and on dark paper.
LOOKS = {
    "light": {"ink": "#1b1f24", "line": "#d5dae0", "series": ("#0072b2", "#56b4e9", "#d55e00")},
    "dark": {"ink": "#e4e8ec", "line": "#3a434d", "series": ("#2f8fd0", "#9ad2f5", "#e69f00")},
}


def plot(alt: str, height: float, draw) -> SimpleNamespace:
    """A picture for light and one for dark paper, as data URLs; `draw(axes, look)` draws it."""
    plot = SimpleNamespace(alt=alt)
    for name, look in LOOKS.items():
        ink, line = look["ink"], look["line"]
        settings = {
            "font.size": 11,
            "svg.hashsalt": alt,
            "svg.fonttype": "path",
            "text.color": ink,
            "axes.labelcolor": ink,
            "axes.edgecolor": line,
            "xtick.color": ink,
            "ytick.color": ink,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
        }
        with matplotlib.rc_context(settings):
            figure = Figure(figsize=(7.2, height), layout="constrained")
            draw(figure.add_subplot(), look)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        data = base64.b64encode(buffer.getvalue()).decode()
        setattr(plot, name, f"data:image/svg+xml;base64,{data}")
    return plot
