"""The recorded run of the page "One sitting": its own cells, run as they stand."""

from tinygpt import checkpoint, records
from tools.records.job import Job

PAGE = records.ROOT / "chapters" / "one-sitting.ipynb"
# What is folded on the page only draws, and draws from this record; what is left out is for Colab.
APART = {"hide-input", "remove-cell"}


def sitting(job: Job) -> dict:
    """The GPT of the page "One sitting", on four million characters of Storyland."""
    page: dict = {}
    for cell in checkpoint.read_json(PAGE)["cells"]:
        if cell["cell_type"] == "code" and not APART & set(cell["metadata"].get("tags", [])):
            exec("".join(cell["source"]), page)  # noqa: S102
    # As many points as a picture shows: each the mean of the steps since the last.
    marks = sorted({round(page["steps"] ** (i / 30)) for i in range(31)})
    losses = [bits for _, bits in page["curve"]]
    curve = [
        (end, round(sum(losses[start:end]) / (end - start), 4))
        for start, end in zip([0, *marks], marks, strict=False)
    ]
    return {
        "curve": curve,
        "samples": page["samples"],
        "figures": {
            "parameters": page["numbers"],
            "bits_per_char": round(page["bits"], 4),
            "floor": page["floor"],
            "possible": page["possible"],
        },
    }
