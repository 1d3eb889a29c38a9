"""Feedback: everything a student should see, nothing that runs, nothing that is secret."""

import base64
import hashlib
from dataclasses import replace

import pytest
from bs4 import BeautifulSoup
from classroom import (
    ALL,
    HOSTILE,
    SCRIPTS,
    UNSEEN,
    result,
    small_class,
    small_lab,
    write_journal,
)

from gradedesk.desk import Desk
from gradedesk.names import DeskError
from gradedesk.plain import plain
from gradedesk.results import feedback, gradebook
from gradedesk.results.gradebook import Hand

LAB = small_lab()
NOTHING = Hand()


def parse(html: str) -> BeautifulSoup:
    return BeautifulSoup(html, "html.parser")


def assert_harmless(html: str) -> BeautifulSoup:
    """No script, no handler, no request, no style but the one that the policy names."""
    page = parse(html)
    names = {tag.name for tag in page.find_all(True)}
    assert not names & {"script", "svg", "iframe", "object", "embed", "form", "base", "link"}
    for tag in page.find_all(True):
        for name, value in tag.attrs.items():
            assert not name.startswith("on") and name != "style"
            if name in ("href", "src", "srcset", "action", "background"):
                assert str(value).startswith(("#", "data:image/svg+xml;base64,")), value
    (style,) = page.find_all("style")
    digest = base64.b64encode(hashlib.sha256(style.string.encode()).digest()).decode()
    (policy,) = page.find_all("meta", {"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert "url(" not in style.string and "@import" not in style.string
    # The policy stands before everything that it should bind.
    assert html.index("Content-Security-Policy") < html.index("<style>")
    return page


def test_a_page_says_what_a_student_needs():
    ada = result("ada", passed=["q1-example"], output={"q1": "hello"}, late=True)
    hand = Hand(
        scores={("ada", LAB.name, "q3"): 2.5},
        comments={("ada", LAB.name, "q3"): "Nearly.", ("ada", LAB.name, "q1"): "Short names!"},
    )
    text = assert_harmless(feedback.page(LAB, ada, hand)).get_text()
    for wanted in (
        "Lab 01: Small",
        "8.5 of 20 points",
        "Q1. Add",
        "6 of 10",
        "1 of 2 tests not yet",
        "example",
        "Is it a sum?",
        "def mul(a, b):\n    return a",
        "hello",
        "(late)",
        "Because.",
        "Nearly.",
        "Short names!",
        "2.5 of 4",
    ):
        assert wanted in text, wanted
    assert "being graded by hand" not in text


def test_what_waits_for_a_person_is_said_and_not_counted_as_lost():
    text = parse(feedback.page(LAB, result("ada", passed=ALL), NOTHING)).get_text()
    assert "16 of 20 points" in text
    assert "Not in this sum yet: 4 points" in " ".join(text.split())
    blank = parse(feedback.page(LAB, result("bob", passed=ALL, text=""), NOTHING)).get_text()
    assert "No answer." in blank and "Not in this sum" not in blank


def test_a_persons_score_replaces_that_of_a_test():
    hand = Hand(scores={("bob", LAB.name, "q2-example"): 3.0})
    text = parse(feedback.page(LAB, result("bob", passed=["q1-example"]), hand)).get_text()
    assert "9 of 20 points" in text and "given by a person" in text


def test_hidden_tests_keep_their_secret():
    bob = result("bob", message="got 4243, expected 4242 for SECRET_INPUT")
    text = feedback.page(LAB, bob, NOTHING)
    (hidden,) = [test for test in bob.tests if test.hidden]
    assert hidden.message and hidden.student_message == ""
    assert parse(text).get_text().count("SECRET_INPUT") == 2  # the two public tests' messages
    assert "BEGIN HIDDEN" not in text and "A model answer" not in text
    hidden.student_message = "Is it a sum?"
    assert "Is it a sum?" in feedback.page(LAB, bob, NOTHING)


def everywhere(said: str) -> str:
    """The page of a student who writes `said` wherever a student can write."""
    bad = result(said, message=said, text=said, problems=[said], received=said, late=True)
    bad = replace(bad, status="tampered", answers={"q1": said, said: said}, output={"q1": said})
    for test in bad.tests:
        test.title = test.student_message = said
    comments = {(said, LAB.name, grade_id): said for grade_id in ("q1", "q3", said)}
    return feedback.page(LAB, bad, Hand(comments=comments))


@pytest.mark.parametrize("script", [*SCRIPTS, UNSEEN, HOSTILE])
def test_whatever_a_student_writes_is_shown_as_text(script):
    html = everywhere(script)
    page = assert_harmless(html)
    assert page.get_text().count(plain(script, 200)[:100]) >= 15
    harmless = parse(everywhere("words"))
    assert [tag.name for tag in page.find_all(True)] == [t.name for t in harmless.find_all(True)]
    html.encode("utf-8")
    assert not set(html) & set("\x00\x1b\u202e\u202c\ud800")


@pytest.mark.parametrize("status", ["unreadable", "missing", "grader-error"])
def test_a_status_without_points_shows_none(status):
    una = result("una", status=status, tests=[], manual=[], answers={}, note="secret note")
    html = feedback.page(LAB, una, NOTHING)
    assert feedback.STATUS_NOTES[status] in parse(html).get_text()
    assert " points" not in html and "secret note" not in html


def test_a_timeout_is_explained():
    tim = small_class()[2]
    text = parse(feedback.page(LAB, tim, NOTHING)).get_text()
    assert "out of time" in text and "not run" in text and "timed out" not in text
    assert feedback.STATUS_NOTES["partly"] in text


def test_everything_is_bounded():
    huge = "x" * 3_000_000
    many = result("ada", message=huge, text=huge, answers={"q1": huge}, output={"q1": huge})
    assert len(feedback.page(LAB, many, NOTHING)) < 200_000


def test_pages_are_written_into_the_desk_only(tmp_path):
    write_journal(tmp_path, [result("bob"), *small_class()])
    gradebook.update(Desk(tmp_path).database, LAB, small_class())
    made = feedback.feedback_all(Desk(tmp_path), LAB)
    assert {path.relative_to(tmp_path).as_posix() for path in made} == {
        f"feedback/{one.student}/{LAB.name}.html" for one in small_class()
    }
    for path in made:
        assert_harmless(path.read_text(encoding="utf-8"))
    assert feedback.feedback(Desk(tmp_path), LAB.name, "bob") in made
    with pytest.raises(DeskError, match="no result of zoe for lab01-small: grade it first"):
        feedback.feedback(Desk(tmp_path), LAB, "zoe")
    for name in ("..", "../../x", "/etc/x"):
        with pytest.raises(DeskError):
            feedback.feedback(Desk(tmp_path), LAB, name, result=result(name), hand=NOTHING)
    assert {path.name for path in tmp_path.iterdir()} <= {
        "feedback",
        "journal.jsonl",
        "gradebook.db",
        "gradebook.db.lock",
        "gradebook.db-wal",
        "gradebook.db-shm",
    }


def test_hand_grades_reach_the_page(tmp_path):
    url = Desk(tmp_path).database
    write_journal(tmp_path, small_class())
    gradebook.update(url, LAB, small_class())
    from nbgrader.api import Gradebook

    with Gradebook(url) as book:
        grade = book.find_grade("q3", LAB.name, LAB.name, "ada")
        grade.manual_score, grade.needs_manual_grade = 3, False
        book.find_comment("q3", LAB.name, LAB.name, "ada").manual_comment = "<b>Well</b> said"
        book.db.commit()
    text = assert_harmless(
        feedback.feedback(Desk(tmp_path), LAB, "ada").read_text(encoding="utf-8")
    ).get_text()
    assert "19 of 20 points" in text and "<b>Well</b> said" in text


def test_invisible_characters_are_spelled_out():
    assert plain("a\x00b\u202ec\x7f\ud800") == "a⟨U+0000⟩b⟨U+202E⟩c⟨U+007F⟩⟨U+D800⟩"
    assert plain("\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\\y") == "red y"
    assert plain("a\r\nb\rc\u2028d\x85e") == "a\nb\nc\nd\ne"
    assert plain("क्‍ष 👩‍🔬 é\tü") == "क्‍ष 👩‍🔬 é\tü"
    assert plain("x" * 50, 10) == "x" * 10 + "\n... (40 more characters)"
    assert plain(None) == "None"
