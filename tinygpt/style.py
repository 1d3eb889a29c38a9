"""The house style of every figure, and its colours by name.

The colours are those of Okabe and Ito (2008), "Color Universal Design": they
stay apart for colour-blind readers.
"""

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


def use():
    """Draw every later figure in the house style."""
    plt.style.use(Path(__file__).with_name("house.mplstyle"))
