"""Past one machine: a real Dask scheduler and two workers on loopback, one of which is killed."""

import dataclasses
import os
import signal
from pathlib import Path

import pytest

from gradedesk import sandbox
from gradedesk.desk import Desk
from gradedesk.grading import grade
from gradedesk.names import DeskError
from gradedesk.results.journal import Journal
from gradedesk.trial.maker import Maker

ROOT = Path(__file__).resolve().parents[2]
LAB = "lab01-ngram"
distributed = pytest.importorskip("distributed", reason="Dask is not installed")
pytestmark = pytest.mark.skipif(bool(sandbox.available()), reason=str(sandbox.available()))


def test_a_killed_worker_s_submissions_are_graded_by_the_other(tmp_path, monkeypatch):
    maker = Maker(LAB)
    cases = [*maker.honest(), *maker.mistaken()[:6], *maker.broken()[:2]]
    for case in cases:
        folder = tmp_path / "submitted" / case.student / LAB
        folder.mkdir(parents=True)
        (folder / f"{LAB}.ipynb").write_bytes(case.data)
    alone = grade.grade(Desk(tmp_path), maker.lab, jobs=2).results
    (tmp_path / "journal.jsonl").unlink()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    killed = []

    def on_result(result):
        if not killed:
            workers = cluster.scheduler_info["workers"]
            at_work = [cluster.workers[worker["id"]].process.pid for worker in workers.values()]
            assert len(at_work) == 2
            killed.append(at_work[0])
            os.kill(at_work[0], signal.SIGKILL)

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        batch = grade.grade(Desk(tmp_path), maker.lab, scheduler=address, on_result=on_result)
    assert killed and batch.left == []
    fixed = {"seconds": 0.0, "graded_at": ""}
    same = [dataclasses.replace(result, **fixed) for result in alone.values()]
    assert [dataclasses.replace(result, **fixed) for result in batch.results.values()] == same
    names = [result.student for result in Journal(tmp_path / "journal.jsonl")]
    assert sorted(names) == sorted(case.student for case in cases)


def test_no_scheduler_is_one_line(tmp_path):
    (tmp_path / "submitted" / "ada" / LAB).mkdir(parents=True)
    (tmp_path / "submitted" / "ada" / LAB / f"{LAB}.ipynb").write_bytes(b"{}")
    lab = Maker(LAB).lab
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(DeskError, match="No Dask scheduler answers at") as caught:
            grade.grade(Desk(tmp_path), lab, scheduler=address)
        assert "\n" not in str(caught.value)
