"""The book's schematics: a function draws one, and `python -m tools.drawings` writes them all.

A function's docstring is the drawing in words: its first line the title, the rest the description
that stands in the file and, closed, under the picture on the page.
"""

from tools.drawings import applications, attention, better, challenges, language_models, training
from tools.notebooks import ROOT

FOLDER = ROOT / "_static" / "drawings"

# The page, and the function that draws for it.
PAGES = {
    "chapters/notation.md": language_models.colours,
    "chapters/storyland.ipynb": language_models.storyland,
    "chapters/1-language-models/counting.ipynb": language_models.counting,
    "chapters/1-language-models/tokens.ipynb": language_models.tokens,
    "chapters/1-language-models/neural.ipynb": language_models.neural,
    "chapters/2-attention/self-attention.ipynb": attention.self_attention,
    "chapters/2-attention/heads-and-positions.ipynb": attention.heads_and_positions,
    "chapters/2-attention/gpt.ipynb": attention.gpt,
    "chapters/2-attention/encoder-decoder.ipynb": attention.encoder_decoder,
    "chapters/3-training/data.ipynb": training.data,
    "chapters/3-training/likelihood.ipynb": training.likelihood,
    "chapters/3-training/optimisers.ipynb": training.optimisers,
    "chapters/3-training/train-a-gpt.ipynb": training.train_a_gpt,
    "chapters/3-training/cluster.md": training.cluster,
    "chapters/3-training/what-a-step-costs.ipynb": better.what_a_step_costs,
    "chapters/3-training/better-and-bigger.ipynb": better.better_and_bigger,
    "chapters/3-training/copies-and-tables.ipynb": better.copies_and_tables,
    "chapters/3-training/is-it-better.ipynb": better.is_it_better,
    "chapters/4-applications/generating.ipynb": applications.generating,
    "chapters/4-applications/fine-tuning.ipynb": applications.fine_tuning,
    "chapters/4-applications/translation-and-summary.ipynb": applications.translation_and_summary,
    "chapters/4-applications/answers-and-dialogue.ipynb": applications.answers_and_dialogue,
    "chapters/4-applications/calling-tools.ipynb": applications.calling_tools,
    "chapters/4-applications/thinking.ipynb": applications.thinking,
    "chapters/4-applications/code.ipynb": applications.code,
    "chapters/4-applications/serving.ipynb": applications.serving,
    "chapters/5-challenges/hallucination.ipynb": challenges.hallucination,
    "chapters/5-challenges/beyond-text.ipynb": challenges.beyond_text,
    "chapters/5-challenges/bias.ipynb": challenges.bias,
    "chapters/5-challenges/cost.ipynb": challenges.cost,
    "chapters/5-challenges/interpretability.ipynb": challenges.interpretability,
    "chapters/5-challenges/safety-and-privacy.ipynb": challenges.safety_and_privacy,
}


def name(function):
    """self_attention -> self-attention.svg"""
    return function.__name__.replace("_", "-") + ".svg"


def on_page(page):
    """The Markdown that shows a page's drawing there, and says it in words."""
    function = PAGES[page]
    drawing = function()
    up = "../" * page.count("/")
    words = "\n\n".join(drawing.words)
    return (
        f"![{drawing.title}]({up}_static/drawings/{name(function)})\n\n"
        f":::{{dropdown}} The drawing in words\n\n{words}\n\n:::"
    )
