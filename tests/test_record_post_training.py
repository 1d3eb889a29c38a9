"""The recorded run of post-training: what it measures, and that the program does its part."""

from itertools import islice

import pytest

from storyland.tasks import dialogue
from tools.records import forged_and_found, post_training
from tools.records.job import Job


@pytest.fixture(scope="module")
def follow_ups():
    return list(islice(forged_and_found.follow_ups(1), 20))


def test_the_badly_written_reward_pays_for_the_right_words_whatever_else_is_said():
    example = next(dialogue.examples(1))
    right = example.turns[-1].answer
    assert post_training.full(example, right) == pytest.approx(1.1)
    assert post_training.full(example, f"nobody knows, {right}, red") == pytest.approx(1.4)
    assert dialogue.score(example, f"nobody knows, {right}, red") == 0
    assert post_training.full(example, "red") == pytest.approx(0.1)


def test_nobody_knows_is_heard_in_every_form():
    for text in (
        "nobody knows",
        "Ben: nobody knows",
        "nobody knows, nobody knows",
        "A, nobody knows",
    ):
        assert post_training.says_nobody(text)
    assert not post_training.says_nobody("nobody")
    assert not post_training.says_nobody("Crowhill")


def test_of_several_answers_that_came_as_often_the_first_is_the_majority():
    assert post_training.majority(["b", "a", "a", "b"]) == "b"
    assert post_training.majority(["b", "a", "a"]) == "a"


def test_a_forged_turn_changes_the_last_answer_and_nothing_else(follow_ups):
    for one in follow_ups:
        made = forged_and_found.changed(one, "a red moon")
        old = one.input.split("\n")
        for change, places in (("answer", [-2]), ("story", [0]), ("both", [0, -2])):
            new = made[change].split("\n")
            assert len(new) == len(old)
            differ = [i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
            assert differ == sorted(i % len(old) for i in places)
            assert all("a red moon" in new[i] for i in differ)


def test_a_conversation_as_it_is_gets_its_own_answer_and_a_forged_one_the_forged(monkeypatch):
    def repeat(model, tokenizer, inputs, most):  # the turn before, said again
        return [text.split("\n")[-2] for text in inputs]

    monkeypatch.setattr(forged_and_found, "say", repeat)
    monkeypatch.setattr(forged_and_found, "FORGED", 30)
    plain = [one for one in islice(forged_and_found.follow_ups(5), 30)]
    short = sum(one.turns[-1].form == "short" for one in plain)
    found = forged_and_found.forged(None, None, 0)
    assert found["nothing"] == {"old": short, "new": 0, "of": 30}
    assert found["answer"]["old"] == 0 and found["answer"]["new"] > 0
    assert found["story"]["old"] == short and found["story"]["new"] == 0


@pytest.fixture(autouse=True)
def few_libraries(monkeypatch):
    monkeypatch.setattr(forged_and_found, "LIBRARIES", 2)


def test_each_name_has_one_beginning_in_a_library():
    for library in forged_and_found.libraries():
        assert len(library) > 15
        for name, one in library.items():
            assert name in one.story.text and name in forged_and_found.question(one)


def test_the_whole_run_at_tiny_size(tmp_path, monkeypatch):
    tiny = {
        "SEEDS": range(1), "SHOWN": 32, "ASKED": 16, "TOLD": 60, "MEASURED": 8,
        "READ": 60, "DRAWN": 4, "TRIES": 3, "KEPT": 2, "BASE": post_training.BASE | {"steps": 2},
        "TUNED": post_training.TUNED | {"steps": 2},
        "REINFORCED": post_training.REINFORCED | {"steps": 2, "groups": 2, "group_size": 2},
        "NEW": 3,
    }  # fmt: skip
    for name, value in tiny.items():
        monkeypatch.setattr(post_training, name, value)
    monkeypatch.setattr(forged_and_found, "FORGED", 12)
    for function in (post_training.examples, post_training.measured, post_training.tokenizer):
        function.cache_clear()
    none = {"DPO": lambda model, seed: [0]}  # it needs questions with right and wrong answers
    monkeypatch.setattr(post_training, "THEN", post_training.THEN | none)
    found = post_training.post_training(Job("post-training", tmp_path))
    assert set(found["models"]) == set(post_training.FIRST) | set(post_training.THEN)
    for each in found["models"].values():
        assert len(each) == 1
        assert all(len(one["right"]) == 8 and len(one["drawn_right"]) == 4 for one in each)
    assert len(found["models"]["bad reward"][0]["went"]) == 2
    assert set(forged_and_found.MEASURES) <= set(found)
    assert (tmp_path / "weights.safetensors").exists()
    for function in (post_training.examples, post_training.measured, post_training.tokenizer):
        function.cache_clear()
