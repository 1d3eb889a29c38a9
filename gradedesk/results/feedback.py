"""Feedback: one page a student a lab, that a student may open and an instructor may mail.

It holds each test's name, points and message, the student's own cells, and what a person gave;
no test's source, no hidden message but what its author wrote for students. Everything that
comes from a student goes through escaping, and the page's policy allows no script and no request.
"""

import re
from pathlib import Path
from types import SimpleNamespace

from gradedesk.desk import Desk
from gradedesk.lab import Lab, question_of
from gradedesk.names import DeskError
from gradedesk.results.gradebook import Hand
from gradedesk.results.gradebook import hand as read_hand
from gradedesk.results.journal import Journal
from gradedesk.results.pages import render, write
from gradedesk.results.result import Result, TestOutcome

STATUS_NOTES = {
    "graded": "",
    "partly": (
        "Your code ran out of time or stopped in the middle, so some tests could not be finished. "
        "The points so far count; the tests below say where it happened."
    ),
    "unreadable": (
        "Your notebook could not be read, so nothing was graded. Open it in Jupyter, check that "
        "it is the right file, save it and hand it in again, or write to your instructor."
    ),
    "missing": "No notebook from you arrived for this lab.",
    "tampered": (
        "Something in your notebook besides the answers had been changed. It was graded with "
        "the original:"
    ),
    "grader-error": "The grader failed on your notebook. That is not your fault: ask again later.",
}
OUTCOME_WORDS = {
    "passed": ("passed", "good"),
    "failed": ("not yet", "bad"),
    "timeout": ("out of time", "bad"),
    "died": ("stopped", "bad"),
    "not-run": ("not run", "wait"),
}
OUTCOME_NOTES = {
    "timeout": "Your code took too long here: look for a loop that does not end.",
    "died": "Your code ended the whole program here, or used too much memory.",
    "not-run": "This test was not run.",
}


def feedback(
    desk: Desk,
    lab: Lab | str,
    student: str,
    db_url: str | None = None,
    result: Result | None = None,
    hand: Hand | None = None,
) -> Path:
    """Write feedback/<student>/<lab>.html of the newest result; DeskError if there is none.

    `result` and `hand` spare reading the journal and the gradebook when many pages are made.
    """
    name = _name(lab)
    if result is None:
        result = Journal(desk.journal).latest(name).get((student, name))
    if result is None:
        raise DeskError(f"There is no result of {student} for {name}: grade it first.")
    if hand is None:
        hand = read_hand(db_url or desk.database)
    return write(desk.feedback_page(student, name), page(lab, result, hand))


def feedback_all(desk: Desk, lab: Lab | str, db_url: str | None = None) -> list[Path]:
    """Write the feedback of everybody who has a result for a lab."""
    name = _name(lab)
    hand = read_hand(db_url or desk.database)
    results = Journal(desk.journal).latest(name)
    return [
        feedback(desk, lab, result.student, result=result, hand=hand)
        for _, result in sorted(results.items())
    ]


def _name(lab: Lab | str) -> str:
    return lab if isinstance(lab, str) else lab.name


def titles(lab: Lab | str) -> tuple[str, dict[str, str]]:
    """The title of a lab, and those of its questions by their id, from its headings."""
    questions: dict[str, str] = {}
    title = _name(lab)
    if isinstance(lab, str):
        return title, questions
    heading = ""
    for cell in lab:
        if cell.cell_type == "markdown" and cell.kind == "text":
            found = re.search(r"^#\s+(.+)$", cell.release, re.MULTILINE)
            if found and title == lab.name:
                title = found[1].strip()
            found = re.findall(r"^##+\s+(.+)$", cell.release, re.MULTILINE)
            heading = found[-1].strip() if found else heading
        elif cell.kind in ("answer", "manual"):
            number = cell.question.removeprefix("q")
            if re.match(rf"Q?{re.escape(number)}\b", heading, re.IGNORECASE):
                questions.setdefault(cell.question, heading)
    return title, questions


def message(test: TestOutcome) -> str:
    """What a student may read of a test. Of a hidden one, only what was written for students."""
    if test.outcome == "passed":
        return ""
    if test.student_message:
        return test.student_message
    if not test.hidden and test.message:
        return test.message
    return OUTCOME_NOTES.get(test.outcome, "")


def page(lab: Lab | str, result: Result, hand: Hand) -> str:
    """The feedback page as HTML."""
    title, headings = titles(lab)

    def key(grade_id):
        return result.student, result.lab, grade_id

    ids = [item.question for item in [*result.tests, *result.manual]]
    ids += map(question_of, result.answers)
    questions = []
    for number, question in enumerate(dict.fromkeys(ids)):
        tests = []
        for test in result.tests:
            if test.question == question:
                word, look = OUTCOME_WORDS[test.outcome]
                score = hand.scores.get(key(test.grade_id))
                tests.append(
                    SimpleNamespace(
                        title=test.title or test.grade_id,
                        hidden=test.hidden,
                        word=word,
                        look=look,
                        points=test.points if score is None else score,
                        max_points=test.max_points,
                        message=message(test),
                        by_hand=score is not None,
                    )
                )
        manual = []
        for answer in result.manual:
            if answer.question == question:
                score = hand.scores.get(key(answer.grade_id), None if answer.answered else 0.0)
                manual.append(
                    SimpleNamespace(
                        text=answer.text if answer.answered else "",
                        points=score or 0.0,
                        max_points=answer.max_points,
                        waiting=score is None,
                        comment=hand.comments.get(key(answer.grade_id), ""),
                    )
                )
        cells = [
            SimpleNamespace(
                source=source,
                output=result.output.get(grade_id, ""),
                comment=hand.comments.get(key(grade_id), ""),
            )
            for grade_id, source in result.answers.items()
            if question_of(grade_id) == question
        ]
        questions.append(
            SimpleNamespace(
                anchor=f"question-{number}",
                title=headings.get(question, question.upper()),
                tests=tests,
                manual=manual,
                cells=cells,
                missed=sum(test.look != "good" for test in tests),
                points=sum(item.points for item in [*tests, *manual]),
                max_points=sum(item.max_points for item in [*tests, *manual]),
                waiting=any(item.waiting for item in manual),
            )
        )
    waiting = sum(a.max_points for q in questions for a in q.manual if a.waiting)
    return render(
        "feedback.html",
        result=result,
        title=title,
        questions=questions,
        status_note=STATUS_NOTES[result.status],
        total=sum(question.points for question in questions),
        out_of=sum(question.max_points for question in questions),
        waiting=waiting,
    )
