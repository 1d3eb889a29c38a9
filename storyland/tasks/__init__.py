"""Tasks about stories, each with its right outputs known: what to train on, and how to mark it.

    >>> from storyland.tasks import questions
    >>> example = next(questions.examples(seed=1))
    >>> example.input.splitlines()[-1], example.output
    ('Who led at first?', 'the sheep')
    >>> questions.score(example, "The sheep.")
    1.0

A task is a module with `examples(seed)`, an endless stream, the same for the same seed, and
`score(example, output)`, 1 for a right output and 0 for a wrong one or a share between. Its stories
are those of `storyland.stories(seed)`, in their order: seed 1 is what models are trained on, 2 what
they are chosen by, 3 what they are measured on. An example is a pair of texts, `input` and
`output`; what trains on such pairs need not know where they come from. (The errands of `robots` are
no such stories: they have a grammar of their own.)

    questions   who, where, what, how many; or nobody knows
    summaries   a story in one sentence
    sentiment   the mood of a story, with the exact P(mood given text)
    entities    the role of each word: person, place, animal, thing
    robots      what a robot is to do; the program that makes it do so
    chinese     a summary's sentence in Chinese with the same facts, and back
    counting    how many has he now, after one to eight steps? (short texts of its own, no stories)
    scenes      pictures, drawn from facts; what can be said of them (no stories, and no text)
    dialogue    turns of asking and telling; follow-ups, and how to say it

What a task asks and says is written on a page beside it, as the stories are; `frame.py` reads it
together with theirs. The grammar knows nothing of the tasks.
"""

from storyland.tasks.frame import Example

__all__ = ["Example"]
