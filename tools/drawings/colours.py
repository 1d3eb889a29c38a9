"""One colour a kind of thing, in every drawing of the book.

The hues are those of the figures (tinygpt/style.py). Letters are never coloured: they are ink, or
quiet where they are an aside, so that nobody needs to tell hues apart in order to read.
"""

from tinygpt import style

INK = "#222222"  # letters
QUIET = "#5F5F5F"  # asides, shapes, arrows
PAPER = "#FAFAF8"  # the card that a drawing lies on

TOKEN = style.GREY  # text, and the tokens that it is cut into
WEIGHT = style.ORANGE  # what training learns: matrices, tables of embeddings
STATE = style.BLUE  # what a model computes of a text: vectors, logits, probabilities
LOOK = style.PURPLE  # attention: who looks at whom, and how much
TRUTH = style.GREEN  # Storyland's grammar and what the oracle knows
WRONG = style.RED  # the loss and its gradient, and what leaks
KEPT = style.SKY  # what is counted or remembered: counts, an optimiser's running means
HERE = style.YELLOW  # the place that the drawing speaks of
