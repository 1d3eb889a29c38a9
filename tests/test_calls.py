"""Calls: the lines of a conversation with programs, how they are learned, and the programs."""

import doctest
from itertools import islice

import pytest
import torch

from storyland.tasks import calls, counting
from tinygpt import calls as protocol
from tinygpt.calls import answer, converse, transcript_row
from tinygpt.model import GPT, preset
from tinygpt.tokenizer import CharTokenizer


def some(count, **how):
    return list(islice(calls.examples(8, **how), count))


def desk(example):
    library = {} if example.kind == "unknown" else {example.key: example.text}
    reader = calls.Reader(example.text)
    return {
        "count": calls.count,
        "look up": lambda text: calls.look_up(text, library),
        **reader.tools(),
    }


def test_the_documentation_shows_what_comes_out():
    failed, tried = doctest.testmod(calls)
    assert failed == 0 < tried


@pytest.mark.parametrize("way", calls.WAYS)
def test_the_programs_answer_every_right_call_as_the_transcript_says(way):
    for one in some(200):
        lines, tools = calls.transcript(one, way), desk(one)
        assert [answer(call, tools) for call in lines[:-1:2]] == lines[1::2]
        assert calls.score(one, lines[-1]) == 1


def test_a_question_without_its_text_names_the_person_and_the_things():
    for one in some(100, kinds=["absent", "unknown"]):
        assert one.input == f"How many {one.key[1]} has {one.key[0]} now?"


def test_the_texts_are_those_of_counting_whatever_the_kinds():
    texts = [one.input.partition("\n")[0] for one in islice(counting.examples(8), 20)]
    assert [one.text for one in some(20)] == texts
    assert [one.text for one in some(20, kinds=["unknown"])] == texts


def test_the_kinds_have_their_weights():
    kinds = [one.kind for one in some(2000)]
    for kind, weight in calls.KINDS.items():
        assert abs(kinds.count(kind) / 2000 - weight / 10) < 0.04


@pytest.mark.parametrize("kinds", [[], ["given", "else"]])
def test_kinds_that_are_none_are_refused(kinds):
    with pytest.raises(ValueError, match="a kind is one of given, absent, unknown"):
        calls.examples(1, kinds=kinds)


def test_where_nobody_knows_a_number_is_wrong_and_elsewhere_nobody_knows_is():
    unknown, given = some(1, kinds=["unknown"])[0], some(1, kinds=["given"])[0]
    assert calls.score(unknown, "Nobody knows.") == 1 and calls.score(unknown, "three") == 0
    assert calls.score(given, given.output) == 1 and calls.score(given, calls.NOBODY) == 0


@pytest.mark.parametrize(
    "text", ["", "five -", "5 - 2", "five * two", "five - - two", "__import__('os')", "five  - two"]
)
def test_a_sum_that_is_none_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match="^a sum is numbers in letters with") as error:
        calls.count(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["two - five", "twenty + one"])
def test_a_result_that_has_no_word_is_refused(text):
    with pytest.raises(ValueError, match="not among zero to twenty"):
        calls.count(text)


@pytest.mark.parametrize("text", ["", "Mia", "Mia gold", "figs Mia", "Mia figs now"])
def test_a_look_up_of_no_person_and_thing_is_refused(text):
    with pytest.raises(ValueError, match="give a person and a thing: Mia figs"):
        calls.look_up(text, {})


def test_a_reader_refuses_what_is_out_of_turn_and_keeps_its_place():
    tools = calls.Reader("Mia had two figs. She ate one.").tools()
    with pytest.raises(ValueError, match="read first"):
        tools["+"]("two")
    assert tools["read"]("") == "Mia had two figs."
    with pytest.raises(ValueError, match="give a number in letters"):
        tools["+"]("2")
    assert tools["+"]("two") == "She ate one."
    assert tools["-"]("one") == "the end, one"
    with pytest.raises(ValueError, match="read first"):
        tools["skip"]("")


# The protocol


def test_a_call_that_cannot_be_answered_is_answered_with_why():
    tools = desk(some(1)[0])
    assert answer("> sing", tools).startswith("= error: the tools are count, look up")
    assert answer("> counting five", tools).startswith("= error: the tools are")
    assert answer("> count 5 - 2", tools).startswith("= error: a sum is numbers in letters")


def test_the_longest_name_that_fits_is_called():
    tools = {"look": lambda text: "short", "look up": lambda text: f"long {text}"}
    assert answer("> look up Mia", tools) == "= long Mia"
    assert answer("> look", tools) == "= short"


def test_what_is_no_call_and_a_result_of_two_lines_are_mistakes_of_the_program():
    with pytest.raises(ValueError, match="a call begins with"):
        answer("five", {})
    with pytest.raises(ValueError, match="a result is one line"):
        answer("> tell", {"tell": lambda text: "a\nb"})


LINES = ["> count two + one", "= three", "three"]
TOKENS = CharTokenizer("\n".join(["How many?", *LINES]))


def test_what_is_answered_is_given_and_the_row_reads_as_the_conversation_does():
    row = transcript_row("How many?", LINES, TOKENS)
    ids = torch.where(row < 0, -2 - row, row).tolist()
    assert TOKENS.decode(ids) == "\nHow many?\n> count two + one\n= three\nthree\n"
    assert TOKENS.decode(row[row >= 0].tolist()) == "> count two + one\nthree\n"


@pytest.mark.parametrize("lines", [[], LINES[:2], ["a\nb"]])
def test_lines_that_are_not_said_and_answered_in_turn_are_refused(lines):
    with pytest.raises(ValueError, match="in turn"):
        transcript_row("How many?", lines, TOKENS)


@pytest.fixture
def scripted(monkeypatch):
    """Conversations with a model that says what is next in a list, for each input its own."""

    def start(scripts):
        left = {text: iter(lines) for text, lines in scripts.items()}
        seen = []

        def say(model, tokenizer, inputs, new, **how):
            seen.append(list(inputs))
            return [next(left[text.partition("\n")[0]]) for text in inputs]

        monkeypatch.setattr(protocol, "say", say)
        return seen

    return start


def test_a_conversation_goes_on_while_it_calls_and_reads_what_was_said_and_answered(scripted):
    seen = scripted({"a": ["> x", "> y", "one"], "b": ["two"]})
    lines = converse(None, None, ["a", "b"], lambda i, line: f"= {i} {line[2:]}")
    assert lines == [["> x", "= 0 x", "> y", "= 0 y", "one"], ["two"]]
    assert seen == [["a", "b"], ["a\n> x\n= 0 x"], ["a\n> x\n= 0 x\n> y\n= 0 y"]]


@pytest.mark.parametrize("most", [0, 1, 3])
def test_no_more_calls_are_answered_than_allowed(scripted, most):
    scripted({"a": ["> again"] * 9})
    (lines,) = converse(None, None, ["a"], lambda i, line: "= no", most=most)
    assert lines == ["> again", "= no"] * most + ["> again"]


def test_a_model_converses():
    torch.manual_seed(0)
    size = {"num_layers": 1, "num_heads": 2, "d_model": 16, "context": 64}
    model = GPT(preset("modern", vocab_size=TOKENS.vocab_size, **size)).eval()
    both = converse(model, TOKENS, ["How many?", "How"], lambda *_: "= no", max_new_tokens=4)
    alone = converse(model, TOKENS, ["How"], lambda *_: "= no", max_new_tokens=4)
    assert both[1:] == alone
