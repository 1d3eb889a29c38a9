"""The house style of every figure, its colours by name, and the colour of each model.

The colours are those of Okabe and Ito (2008), "Color Universal Design": they
stay apart for colour-blind readers.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
RED = "#D55E00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
YELLOW = "#F0E442"
GREY = "#7F7F7F"

# One colour a model, through the whole book.
TRUTH = GREEN
COUNTING = ORANGE
NETWORK = PURPLE  # the MLP of Part 1
ONE_BLOCK = SKY
GPT = BLUE
MODERN = RED  # the modern GPT
REAL = "black"  # SmolLM2, trained on the web


def use():
    """Draw every later figure in the house style; in a notebook as SVG, the same in every run."""
    plt.style.use(Path(__file__).with_name("house.mplstyle"))
    if "ipykernel" in sys.modules:  # a notebook
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        get_ipython().run_line_magic("matplotlib", "inline")
        set_matplotlib_formats("svg", metadata={"Date": None, "Creator": None})


def label_ends(axes, **where):
    """Name each line of a figure at its right end, in its colour, in place of a legend.

    Names that would lie on one another are moved apart. `where` goes to `axes.annotate`.
    """
    axes.figure.draw_without_rendering()  # only then is it known where what lies
    lines = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
    places = [(line.get_xdata()[-1], line.get_ydata()[-1]) for line in lines]
    ends = sorted((axes.transData.transform(place)[1], i) for i, place in enumerate(places))
    apart, height = -float("inf"), plt.rcParams["font.size"] * axes.figure.dpi / 72 * 1.15
    for pixels, i in ends:
        moved = max(pixels, apart + height)
        apart, line = moved, lines[i]
        axes.annotate(
            line.get_label(),
            places[i],
            xytext=(6, (moved - pixels) * 72 / axes.figure.dpi),
            textcoords="offset points",
            color=line.get_color(),
            va="center",
            annotation_clip=False,
            **where,
        )
