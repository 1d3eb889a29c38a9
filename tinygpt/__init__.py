"""Language models small enough to read in an evening, and the tools around them."""

import os

from tinygpt.errors import PlainError

BUDGETS = ("laptop", "gpu")


class BudgetError(PlainError, ValueError):
    """TINYGPT_BUDGET names no budget."""


def budget():
    """The size to run at: "gpu" where PyTorch finds one (CUDA or Apple's MPS), else "laptop".

    The environment variable TINYGPT_BUDGET, when set, decides instead.
    Raises BudgetError when it names neither.
    """
    chosen = os.environ.get("TINYGPT_BUDGET")
    if chosen:
        if chosen not in BUDGETS:
            raise BudgetError(
                f"TINYGPT_BUDGET is {chosen!r}; set it to {' or '.join(BUDGETS)}, or unset it"
            )
        return chosen
    import torch  # seconds to import, so only here

    return "gpu" if torch.cuda.is_available() or torch.backends.mps.is_available() else "laptop"
