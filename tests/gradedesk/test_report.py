"""The class report, and what counts as near-identical."""

import random
import re
import time
from dataclasses import replace

from classroom import ALL, HOSTILE, result, small_class, small_lab, write_journal
from test_feedback import assert_harmless, parse

from gradedesk.desk import Desk
from gradedesk.results import gradebook, report
from gradedesk.results.gradebook import Hand
from gradedesk.results.similar import MIN_TOKENS, near_identical, normalise

LAB = small_lab()

ANSWER = '''
def count(words, order):
    """Count the words."""
    table = {"": {}}
    for position, word in enumerate(words):
        longest = min(order - 1, position)
        for length in range(longest + 1):
            key = " ".join(words[position - length : position])
            if key not in table:
                table[key] = {}
            table[key][word] = table[key].get(word, 0) + 1
    return table
'''
RENAMED = '''
def count(words, order):
    # all my own work
    t = {
        "": {}
    }
    for i, w in enumerate(words):
        m = min(order - 1, i)  # how long
        for j in range(m + 1):
            """the context"""
            k = " ".join(words[i - j : i])
            if k not in t: t[k] = {}
            t[k][w] = (t[k].get(w, 0) + 1)
    return t
'''
OTHER = """
from collections import Counter, defaultdict

def count(words, order):
    found = defaultdict(Counter)
    found[""] = Counter()
    for n in range(order):
        starts = range(len(words) - n)
        found_here = [(words[s : s + n], words[s + n]) for s in starts]
        for before, after in found_here:
            found[" ".join(before)].update([after])
    return {before: dict(after) for before, after in found.items()}
"""
STUB = '''
def count(words, order):
    """Count the words."""
    # YOUR CODE HERE
    raise NotImplementedError()
'''


def groups(answers, **options):
    return [group.students for group in near_identical("q1", answers, **options).groups]


def test_renaming_comments_and_layout_hide_nothing():
    assert groups({"ada": ANSWER, "bob": RENAMED, "cyd": OTHER}) == [("ada", "bob")]
    assert normalise(ANSWER) != normalise(OTHER)


def test_groups_hold_everybody_linked():
    answers = {"ada": ANSWER, "bob": RENAMED, "cyd": OTHER, "dan": ANSWER, "eve": OTHER}
    found = near_identical("q1", answers)
    assert [group.students for group in found.groups] == [("ada", "bob", "dan"), ("cyd", "eve")]
    assert all(group.similarity == 1 for group in found.groups)
    assert found.groups[0].closest == ("ada", "dan")


def test_stubs_short_answers_and_the_model_solution_are_no_evidence():
    assert groups({"ada": STUB, "bob": STUB}, stub=STUB) == []
    short = "def add(a, b):\n    return a + b"
    found = near_identical("q1", {"ada": short, "bob": short})
    assert (found.groups, found.short) == ([], 2)
    found = near_identical("q1", {"ada": ANSWER, "bob": RENAMED}, solution=ANSWER)
    assert (found.groups, found.like_solution) == ([], 2)
    # Only what was added to the stub counts, however long the stub is.
    long_stub = STUB + "\n".join(f"given_{i} = helper({i}, {i + 1})" for i in range(50))
    ours = long_stub.replace("raise NotImplementedError()", "return len(words) * order")
    assert groups({"ada": ours, "bob": ours}, stub=long_stub) == []


def test_unfinished_and_absurd_code_is_compared_all_the_same():
    broken = ANSWER + "\ndef (:\n  '''"
    assert groups({"ada": broken, "bob": broken}) == [("ada", "bob")]
    absurd = {name: "(" * 50_000 + "\x00'''\\" for name in ("ada", "bob")}
    assert groups(absurd) == [("ada", "bob")]
    assert groups({"ada": "-" * 100_000 + "1", "bob": "\n\f\r" * 1000}) == []


def test_written_answers_are_compared_by_words():
    rng = random.Random(5)
    words = "model order count context word text long many seen never more data state".split()
    one, two = (" ".join(rng.choices(words, k=90)) for _ in range(2))
    answers = {"ada": one, "bob": one.upper().replace(" ", "\n"), "cyd": two}
    assert groups(answers, prose=True) == [("ada", "bob")]


def test_a_big_class_takes_seconds():
    rng = random.Random(1)

    def answer():
        lines = [
            f"    x{rng.randrange(9)} {rng.choice('+-*/')}= f{rng.randrange(99)}(y, {i})"
            if rng.random() < 0.6
            else f"    if y[{rng.randrange(99)}] > {i}: return z"
            for i in range(30)
        ]
        return "def f(y):\n" + "\n".join(lines)

    answers = {f"s{i:03}": answer() for i in range(200)}
    answers["thief"] = answers["s000"].replace("y", "stolen")
    begun = time.perf_counter()
    for question in range(8):
        found = near_identical(f"q{question}", answers)
        assert [group.students for group in found.groups] == [("s000", "thief")]
        assert found.compared == 201
    print(f"8 questions, 201 answers: {time.perf_counter() - begun:.1f} s")


def test_messages_that_differ_in_values_are_one_mistake():
    same = {
        report.mistake("You hold back 0.400 of it, not 0.2: once from each DIFFERENT word (4)."),
        report.mistake("You hold back 12 of it, not 0.2: once from each DIFFERENT word (9)."),
        report.mistake("You hold back inf of it, not 3e-05: once from each DIFFERENT word (9)."),
    }
    assert len(same) == 1
    assert report.mistake("After 'a' you count {'x': 1}.") == report.mistake(
        "After 'b' you count {}."
    )
    assert report.mistake("It isn't there") != report.mistake("It wasn't there")


def row(page, *cells):
    """Whether a row of a table holds these texts, in order."""
    for line in page.find_all("tr"):
        texts = [" ".join(cell.get_text().split()) for cell in line.find_all("td")]
        if texts[: len(cells)] == list(cells):
            return True
    return False


def test_the_page_says_how_the_class_did():
    results = small_class()
    hand = Hand(scores={("ada", LAB.name, "q3"): 4.0})
    page = assert_harmless(report.page([LAB], {LAB.name: results}, hand))
    text = " ".join(page.get_text().split())
    # ada 20, bob 6, tim 6, mallory 0; the missing and the unreadable have no points at all
    assert "6 students, 4 with points. Median 6, mean 8, from 0 to 20 of 20 points." in text
    assert row(page, "graded", "2", "ada, bob")
    assert row(page, "partly graded", "1", "tim")
    assert row(page, "missing", "1", "nil")
    assert row(page, "unreadable", "1", "una")
    assert row(page, "needs hand grading", "2", "tim, mallory")
    assert row(page, "q1-hidden-big", "big numbers hidden", "3 of 4", "75%")
    assert row(page, "q1-example", "example", "1 of 4", "25%")
    assert row(page, "tim", "q2-example timed out.")
    assert len(page.find_all("img")) == 3
    for image in page.find_all("img"):
        assert len(image["alt"]) > 30
    alt = page.find_all("img")[1]["alt"]
    assert "Q1. Add: 25% all, 50% some, 25% none" in alt
    assert "Q3. Say why (2 graded): 50% all, 0% some, 50% none" in alt
    assert "SECRET_INPUT" not in text


def test_a_note_stands_once_and_many_problems_are_cut_short():
    many = [f"The test cell t{i} was edited." for i in range(9)]
    results = [
        result("ada", status="tampered", note=many[0], problems=many),
        result("bob", status="tampered", note=many[0], problems=many[:4]),
    ]
    page = parse(report.page([LAB], {LAB.name: results}, Hand()))
    assert row(page, "ada", f"{' '.join(many[:3])} And 6 more like these.")
    assert row(page, "bob", " ".join(many[:4]))


def test_many_names_are_folded():
    results = [result(f"s{i}", passed=ALL, text="") for i in range(report.NAMED + 1)]
    page = parse(report.page([LAB], {LAB.name: results}, Hand()))
    assert page.find("details").get_text().strip().endswith(f"s{report.NAMED}")
    assert not parse(report.page([LAB], {LAB.name: results[1:]}, Hand())).find("details")


def test_mistakes_are_counted_by_student():
    results = [
        result("ada", passed=ALL),
        *(result(f"s{i}", message=f"Off by {i}?") for i in range(5)),
    ]
    results += [result("x", message="Other.")]
    page = parse(report.page([LAB], {LAB.name: results}, Hand()))
    assert row(page, "5", "q1-example", "Off by 0?")
    assert row(page, "1", "q1-example", "Other.")


def test_alike_answers_stand_side_by_side():
    wrong = ANSWER.replace("order - 1", "order - 2")
    results = [
        result("ada", answers={"q1": wrong}),
        result("bob", answers={"q1": wrong.replace("table", "tbl")}),
        result("cyd", answers={"q1": OTHER}),
    ]
    page = assert_harmless(report.page([LAB], {LAB.name: results}, Hand()))
    (pair,) = page.find_all(class_="pair")
    assert [block.get_text() for block in pair.find_all("bdi")] == ["ada", "bob"]
    assert "tbl" in pair.get_text() and str(MIN_TOKENS) in page.get_text()


def test_the_report_is_harmless_and_stays_in_the_desk(tmp_path):
    results = [replace(one, student=f"{i} {HOSTILE}") for i, one in enumerate(small_class())]
    bad = [replace(one, answers={"q1": ANSWER + HOSTILE}) for one in results]
    write_journal(tmp_path, bad)
    path = report.report(Desk(tmp_path), [LAB])
    html = path.read_text(encoding="utf-8")
    text = assert_harmless(html).get_text()
    assert "alert(1)" in text and not re.search("[\x00\x1b\u202e]", html)
    assert {item.name for item in tmp_path.iterdir()} == {"journal.jsonl", "report.html"}


def test_labs_without_results_and_two_labs(tmp_path):
    other = replace(LAB, name="lab02-other")
    write_journal(tmp_path, small_class())
    gradebook.update(Desk(tmp_path).database, [LAB, other], small_class())
    page = assert_harmless(report.report(Desk(tmp_path), [LAB, other]).read_text(encoding="utf-8"))
    assert "Nothing has been graded yet." in page.get_text()
    assert [link["href"] for link in page.nav.find_all("a")] == ["#lab-0", "#lab-1"]
    only = [small_class()[4]]
    parse(report.page([LAB], {LAB.name: only}, Hand()))  # nobody handed in


def test_a_report_is_the_same_twice():
    def made():
        html = report.page([LAB], {LAB.name: small_class()}, Hand())
        return re.sub(r"Made [^.]+ UTC", "", html)

    assert made() == made()
