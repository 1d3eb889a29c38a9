"""Every chapter's headline is run again: the claims, the record, and `make replicate`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scipy import stats

import replications
from replications import headline, interval, run, verdict

ROOT = Path(__file__).resolve().parent.parent
EVERY = run.load()
# One speaks of all headlines, another hurries through what the chapters claim, two look up in them
# what others say and ask: none has any of its own.
OF_ALL = {
    *("chapters/replicated", "chapters/one-sitting"),
    *("chapters/claims-checked", "chapters/questions"),
}


def chapters():
    """The notebooks of the table of contents that are chapters."""
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    names = set(re.findall(r"file: (chapters/\S+)", toc)) - OF_ALL
    notebooks = [name for name in names if (ROOT / f"{name}.ipynb").exists()]
    return sorted(name for name in notebooks if not name.endswith("/index"))


# The book's own headlines ---------------------------------------------------------


@pytest.mark.parametrize("chapter", chapters())
def test_every_chapter_has_a_headline_and_not_too_many(chapter):
    own = [one for one in EVERY if f"chapters/{one.page}" == chapter]
    assert 1 <= len(own) <= 5


def test_the_record_holds_every_headline_as_it_is_claimed_now():
    stored = run.stored()
    assert set(stored) == {one.name for one in EVERY}
    changed = [one.name for one in EVERY if stored[one.name]["digest"] != one.digest()]
    assert changed == [], "claimed anew since they were run: make replicate"


def test_every_verdict_follows_from_its_results():
    stored = run.stored()
    for one in EVERY:
        entry = stored[one.name]
        assert [result["seed"] for result in entry["results"]] == sorted(one.seeds), one.name
        assert entry == run.entry(one, entry["results"])


def test_no_page_uses_a_seed_of_the_replications():
    seeds = {str(seed) for one in EVERY for seed in one.seeds}
    assert min(map(int, seeds)) > 9000
    for chapter in chapters():
        cells = json.loads((ROOT / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
        code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert not seeds & set(re.findall(r"\b\d+\b", code)), chapter


# How a claim is judged -------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [
        (0.1, 0.3, "holds", "fails"),
        (-0.3, -0.1, "fails", "holds"),
        (-0.1, 0.3, "cannot be told", "cannot be told"),
        (0.0, 0.3, "cannot be told", "cannot be told"),
    ],
)
def test_a_verdict_asks_where_the_whole_interval_lies(low, high, above, below):
    assert verdict(low, high, "above", 0.0) == above
    assert verdict(low, high, "below", 0.0) == below


def test_the_interval_is_students():
    values = [0.3, 0.1, 0.4, 0.1, 0.5]
    mean, low, high = interval(values)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((0.28, theirs.low, theirs.high))
    assert interval([2.0] * 5) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "one of above and below"),
        ({"above": 0, "below": 1}, "one of above and below"),
        ({"above": 0, "seeds": range(9001, 9004)}, "at least 5 seeds"),
        ({"above": 0, "seeds": [9001] * 5}, "at least 5 seeds"),
    ],
)
def test_a_claim_that_could_not_be_judged_is_refused(given, said):
    with pytest.raises(ValueError, match=f"page: .*{said}"):
        headline(page="page", claim="It rains.", effect="mm", **given)


def test_another_claim_or_another_measurement_has_another_digest(monkeypatch):
    monkeypatch.setattr(replications, "HEADLINES", found := [])

    def register(claim, **given):
        @headline(page="page", claim=claim, effect="mm", **given)
        def rain(seed):
            return seed

        return found[-1].digest()

    first = register("It rains.", above=0.0)
    assert register("It rains.", above=0.0) == first
    others = [register("It pours.", above=0.0), register("It rains.", above=0.1)]
    others += [register("It rains.", below=0.0)]
    assert len({first, *others}) == 4


# The command -----------------------------------------------------------------------

CLAIMS = '''
from replications import headline

@headline(page="2-attention/gpt", claim="Seeds are large.", effect="a number", above=9000.0)
def large(seed):
    with open("ran.txt", "a") as file:
        print(seed, file=file)
    return seed
'''


@pytest.fixture
def course(tmp_path):
    """A small course in a git repository of its own, and its command."""
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    (tmp_path / "records").mkdir()
    (tmp_path / "replications").mkdir()
    for name in ("__init__.py", "__main__.py", "run.py"):
        shutil.copy(ROOT / "replications" / name, tmp_path / "replications")
    (tmp_path / "replications" / "claims.py").write_text(CLAIMS, encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)

    def command(*arguments):
        paths = os.pathsep.join([str(tmp_path), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-m", "replications", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    return tmp_path, command


def git(folder, *arguments):
    who = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def commit(folder):
    git(folder, "add", "replications")
    git(folder, "commit", "--quiet", "--message", "Claims")


def test_a_run_goes_on_where_it_was_stopped_and_a_new_claim_is_run_anew(course):
    folder, command = course
    code, said = command("--jobs", "1")
    assert code == 0 and "holds: 1" in said
    record = folder / "records" / "replications.json"
    (entry,) = json.loads(record.read_text())["headlines"]
    assert (entry["verdict"], entry["mean"]) == ("holds", 9003.0)
    assert len(entry["results"][0]["commit"]) == 40

    # As if it had been stopped before the last of its seeds.
    del entry["results"][-1], entry["verdict"]
    record.write_text(json.dumps({"headlines": [entry]}))
    assert "holds: 1" in command("--jobs", "1")[1]
    assert (folder / "ran.txt").read_text().split() == "9001 9002 9003 9004 9005 9005".split()

    claims = folder / "replications" / "claims.py"
    claims.write_text(CLAIMS.replace("above=9000.0", "below=9003.5"))
    code, said = command()
    assert code == 1 and "not committed" in said and "Traceback" not in said
    commit(folder)
    assert command("--list")[1].startswith("to be run")


def test_an_error_in_a_run_is_told_and_a_wrong_name_is_answered(course):
    folder, command = course
    claims = folder / "replications" / "claims.py"
    claims.write_text(CLAIMS.replace("return seed", "return seed / (seed - 9003)"))
    commit(folder)
    code, said = command("--jobs", "1")
    assert code == 1
    assert "large, seed 9003: ZeroDivisionError" in said and "1 runs ended in an error" in said
    assert "not finished: 1" in said
    code, said = command("3-attention")
    assert code == 1
    assert said.startswith("There is no page or headline '3-attention'.")
