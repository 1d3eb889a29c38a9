"""Lab 06 through the sandbox: what a competitor does beside the rules gains nothing."""

import dataclasses
import re

import pytest

from gradedesk import sandbox
from gradedesk.grading import run
from gradedesk.trial.maker import Maker
from tools.lab_runs import SOLUTIONS, grade_id, graded, read

pytestmark = pytest.mark.skipif(bool(sandbox.available()), reason=str(sandbox.available()))

TEST = "q3-hidden-pairs"
SOURCES = {grade_id(cell): cell.source for cell in graded(read(SOLUTIONS["lab06-train"]), "test")}
SEED = re.search(r"seed=(\d+)", SOURCES[TEST])[1]  # a secret that stands in the lab alone
STORIES, PREFIXES, SECONDS = 60, 60, 2
PAIRS = """
def train(stories, vocab_size):
{extra}
    return train_pairs(stories, vocab_size)


def predict(weights, prefixes):
    return predict_pairs(weights, prefixes)
"""


@pytest.fixture(scope="module")
def maker():
    return Maker("lab06-train")


@pytest.fixture(scope="module")
def grade(maker):
    """Grades an answer to Q3 by one of the lab's own hidden tests, on few stories and a budget of
    2 seconds: the result of that test, and its figures by name."""

    def smaller(source):
        small, times = re.subn(
            r"floor=([\d.]+), clock",
            rf"floor=\1, stories={STORIES}, prefixes={PREFIXES}, clock",
            source,
        )
        assert times == 1
        start = "_score = contest.measure("
        assert small.count(start) == 1
        return small.replace(start, f"contest.SECONDS = {SECONDS}\n{start}")

    def replaced(cell):
        if cell.kind != "test":
            return cell
        mine = cell.grade_id == TEST
        return dataclasses.replace(cell, source=smaller(cell.source) if mine else "pass")

    lab = dataclasses.replace(maker.lab, cells=[replaced(cell) for cell in maker.lab])

    def grade(answer):
        data = maker.data(maker.with_target(answer))
        result = run.grade_one(lab, data, "student", warm=True)
        (test,) = [test for test in result.tests if test.grade_id == TEST]
        return test, {figure.name: figure.value for figure in result.figures}

    yield grade
    assert run.close() == ""


@pytest.fixture(scope="module")
def honest(grade):
    _, figures = grade(PAIRS.format(extra="    pass"))
    return figures["bits per word over the floor"]


def test_a_student_who_draws_the_hidden_stories_by_their_seed_has_nothing_to_draw_with(grade):
    """Even one who knew the seed: the course's packages are not in the sandbox."""
    for line in (
        f"from tinygpt import contest; contest.draw({SEED})",
        f"import storyland; storyland.stories({SEED})",
        "from gradedesk import board",
    ):
        test, _ = grade(PAIRS.format(extra=f"    {line}"))
        assert test.outcome == "failed" and "ModuleNotFoundError" in test.message, line


def test_nor_do_they_lie_on_the_disk(grade, honest):
    """A search of all that can be read, for the lab, its tests, and the stories."""
    search = """
import os, sys
found = []
for top, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if name not in ("proc", "sys", "site-packages")]
    found += [name for name in names if name.endswith(".ipynb") or "contest" in name]
assert not found, found
assert not {"tinygpt", "storyland"} & {name.split(".")[0] for name in sys.modules}
"""
    test, figures = grade(search + PAIRS.format(extra="    pass"))
    assert figures.get("bits per word over the floor") == pytest.approx(honest), test.message


BUSY = f"""
    import time
    start = time.process_time()
    while time.process_time() < start + {SECONDS + 1}:
        sum(range(10000))
"""
THREADS = f"""
    import threading
    import time
    def work():
        start = time.thread_time()
        while time.thread_time() < start + {(SECONDS + 1) / 2}:
            sum(range(10000))
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
CHILD = f"""
    import os
    import time
    if not os.fork():
        while time.process_time() < {SECONDS + 1}:
            sum(range(10000))
        os._exit(0)
    os.wait()
"""
UNWAITED = f"""
    import os
    import signal
    import time
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pid = os.fork()
    if not pid:
        start = time.process_time()
        while time.process_time() < start + {SECONDS + 1}:
            sum(range(10000))
        os._exit(0)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass
"""
CLOCK = f"""
    import time
    real = time.process_time
    time.process_time = time.perf_counter = time.time = lambda: 0.0
    start = real()
    while real() < start + {SECONDS + 1}:
        sum(range(10000))
"""


@pytest.mark.parametrize(
    "extra",
    [BUSY, THREADS, CHILD, UNWAITED, CLOCK],
    ids=["itself", "threads", "child", "child-that-none-waits-for", "false-clock"],
)
def test_training_beyond_the_time_is_counted_wherever_it_happens(grade, extra):
    too_long(grade(PAIRS.format(extra=extra)))


def test_training_in_the_cell_itself_is_counted_too(grade):
    too_long(grade(f"if True:{BUSY}\n{PAIRS.format(extra='    pass')}"))


def too_long(graded):
    test, figures = graded
    assert test.outcome == "failed" and not figures
    assert "Training took too long" in test.message, test.message
