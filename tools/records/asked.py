"""The recorded run behind the column "SmolLM2" of Part 4's table: the real model asked for what the
pages train models for, with no example and with three."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from storyland.tasks import dialogue, questions, sentiment
from storyland.tasks.frame import Example
from tinygpt.pretrained import pretrained
from tools.records.job import Job, once
from tools.records.translation import ask

SEED, SHOWN_SEED = 501, 502  # of the stories that are asked about, and of those that are shown
COUNT, SHOTS = 30, (0, 3)


def people(example: Example) -> set[str]:
    """Who the story names."""
    story = example.story
    return {word for word, role in zip(story.words, story.roles, strict=True) if role == "person"}


def f1(example: Example, output: str) -> float:
    """Of names in a list, each counted once: F1 against the people of the story."""
    said = set(re.findall(r"[^\s,.;:*-]+", output))
    right = people(example)
    return 2 * len(said & right) / (len(said) + len(right))


def moods_in(output: str) -> set[str]:
    """The moods that an answer names, in whatever sentence."""
    return set(sentiment.moods()) & set(re.findall(r"[a-z]+", output.lower()))


def capitals(example: Example) -> str:
    """What a rule without any model names: words with a capital letter within a sentence."""
    words = example.story.words
    inside = [word for before, word in zip(words, words[1:], strict=False)
              if word.istitle() and before not in {".", "?", "!", "“", "”", "\n"}]
    return ", ".join(dict.fromkeys(inside))


@dataclass(frozen=True)
class Task:
    """What is asked for, of which examples, what is shown as right, and how it is marked."""

    instruction: str
    examples: Callable
    right: Callable[[Example], str]
    score: Callable[[Example, str], float]
    tokens: int


def output(example: Example) -> str:
    return example.output


TASKS = {
    "mood": Task(
        f"Is the story {', '.join(sentiment.moods()[:-1])} or {sentiment.moods()[-1]}? "
        "Answer with one of these words.",
        sentiment.examples,
        output,
        lambda one, said: float(moods_in(said) == {one.output}),
        6,
    ),
    "question": Task(
        "Answer the question in a few words, or say: nobody knows.",
        questions.examples,
        output,
        questions.score,
        12,
    ),
    "conversation": Task(
        "Answer the last question in the form that it asks for, or say: nobody knows.",
        dialogue.examples,
        output,
        dialogue.score,
        16,
    ),
    "people": Task(
        "List the names of the people in the story, with commas between them.",
        sentiment.examples,
        lambda one: ", ".join(sorted(people(one))),
        f1,
        24,
    ),
}


def asked(task: Task) -> list[Example]:
    return list(islice(task.examples(SEED), COUNT))


def shown(task: Task, count: int) -> list[tuple[str, str]]:
    return [(one.input.strip(), task.right(one))
            for one in islice(task.examples(SHOWN_SEED), count)]


def marks(task: Task, said: Sequence[str]) -> list[float]:
    """One mark for each, from 0 to 1; of what was said the first line counts."""
    return [task.score(one, text.partition("\n")[0])
            for one, text in zip(asked(task), said, strict=False)]


def smollm2(job: Job) -> dict:
    """SmolLM2 asked for the mood, an answer, an answer in a conversation and the people of thirty
    stories each, with no example and with three; greedy."""
    real = pretrained("smollm2-135m-instruct")
    said: dict[str, dict[str, list[str]]] = {}
    for name, task in TASKS.items():
        said[name] = {}
        for shots in SHOTS:
            job.check(f"{name}, {shots} examples")
            given = [one.input.strip() for one in asked(task)]

            def make(task=task, shots=shots, given=given) -> dict:
                return {"said": ask(real, task.instruction, shown(task, shots),
                                    given[:1] if job.rehearsal else given, task.tokens)}

            said[name][str(shots)] = once(job.out, {"task": name, "shots": shots}, make)["said"]
    return {
        "said": said,
        "figures": {
            f"{name}, {shots} examples": round(sum(found) / len(found), 3)
            for name, by_shots in said.items()
            for shots, texts in by_shots.items()
            for found in [marks(TASKS[name], texts)]
        },
    }
