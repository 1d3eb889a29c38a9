"""The leaderboard: sorted, without names unless asked, and absent where nothing was measured."""

import pytest
from classroom import HOSTILE, result, small_lab, write_journal
from test_feedback import assert_harmless, parse
from typer.testing import CliRunner

from gradedesk.board import Figure, Who
from gradedesk.desk import Desk
from gradedesk.results import feedback, report
from gradedesk.results.gradebook import Hand
from gradedesk.results.journal import Journal
from gradedesk.results.result import Result, ResultError

LAB = small_lab()


def measured(student, bits, seconds=3.0, best="low", **more):
    marks = {"a naive model": 3.2, "ours": 0.5}
    figures = [
        Figure("bits over the floor", bits, best, 2, marks),
        Figure("seconds", seconds, digits=1),
    ]
    return result(student, submission=f"{student:x<64}", figures=figures, **more)


CLASS = [
    measured("ada", 1.25),
    measured("bob", 0.71, 12.34),
    measured("cyd", 1.25, 1.0),
    measured("mallory", 2.5, status="tampered", note=HOSTILE),
    result("dan"),
]


@pytest.fixture
def page(tmp_path):
    def page(results, who=Who.anonymous):
        write_journal(tmp_path, results)
        report.report(Desk(tmp_path), LAB, who=who)
        path = tmp_path / "leaderboard.html"
        return path.read_text(encoding="utf-8") if path.exists() else None

    return page


def rows(text):
    """The cells of the table, row by row."""
    table = text[text.index("<tbody>") : text.index("</tbody>")]
    return [
        [cell.split(">", 1)[1].split("</td>")[0] for cell in row.split("<td")[1:]]
        for row in table.split("<tr>")[1:]
    ]


def bare(text):
    return text.replace("<bdi>", "").replace("</bdi>", "")


def test_the_best_stand_first_and_equal_ones_share_their_place(page):
    found = [[bare(cell) for cell in row] for row in rows(page(CLASS, Who.ids))]
    assert found == [
        ["1", "bob", "0.71", "12.3"],
        ["2", "ada", "1.25", "3.0"],
        ["2", "cyd", "1.25", "1.0"],
        ["4", "mallory", "2.50", "3.0"],
    ]


def test_where_high_is_good_the_highest_stands_first(page):
    results = [measured(name, value, best="high") for name, value in (("ada", 1), ("bob", 2))]
    assert [bare(row[1]) for row in rows(page(results, Who.ids))] == ["bob", "ada"]


def test_names_only_where_asked(page, tmp_path):
    anonymous = page(CLASS)
    assert [bare(row[1]) for row in rows(anonymous)] == [f"Model {n}" for n in (1, 2, 3, 4)]
    for name in ("ada", "bob", "cyd", "dan", "mallory"):
        assert name not in anonymous
    (tmp_path / "roster.csv").write_text("student,name\nbob,Bob Ross\n", encoding="utf-8")
    assert bare(rows(page(CLASS, Who.names))[0][1]) == "Bob Ross"


def test_no_points_stand_on_it_and_nothing_runs(page):
    text = page(CLASS)
    assert "points" not in text.split("<body")[1].lower()
    assert_harmless(text)
    parse(text)
    assert "1 submission without a figure" in text
    assert 'alt="bits over the floor of 4 submissions, best 0.71, last 2.50.' in text


def test_without_figures_there_is_no_page_and_no_link(page, tmp_path):
    assert page(CLASS) and "leaderboard" in (tmp_path / "report.html").read_text("utf-8").lower()
    (tmp_path / "journal.jsonl").unlink()
    assert page([result("dan")]) is None
    assert "leaderboard" not in (tmp_path / "report.html").read_text("utf-8").lower()


def test_a_student_finds_their_own_figures_in_the_feedback():
    text = feedback.page(LAB, CLASS[1], Hand({}, {}, {}))
    assert "bits over the floor <strong>0.71</strong>, seconds <strong>12.3</strong>" in text
    assert "leaderboard" not in feedback.page(LAB, CLASS[4], Hand({}, {}, {}))


def test_figures_survive_the_journal(tmp_path):
    write_journal(tmp_path, CLASS)
    latest = Journal(tmp_path / "journal.jsonl").latest()
    assert latest["bob", LAB.name].figures == CLASS[1].figures
    old = CLASS[4].to_json().replace(', "figures": []', "")  # written before there were figures
    assert "figures" not in old and Result.from_json(old).figures == []
    with pytest.raises(ResultError, match="finite number"):
        Result.from_json(CLASS[1].to_json().replace("0.71", "NaN"))


def test_the_command_asks_whose_names(tmp_path, monkeypatch):
    from gradedesk import cli

    write_journal(tmp_path, CLASS)
    monkeypatch.setattr(cli, "_lab", lambda name, course: LAB)
    options = ["report", LAB.name, "--desk", str(tmp_path)]
    for who, there in (([], "Model 1"), (["--leaderboard", "ids"], "bob")):
        done = CliRunner().invoke(cli.app, options + who)
        assert done.exit_code == 0, done.output
        assert there in (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
