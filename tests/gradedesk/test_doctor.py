"""The doctor: what it finds, and that its attempts to break out would tell if they came through."""

import sys

import pytest

from gradedesk import sandbox
from gradedesk.sandbox import Sandbox, attempts, cgroup, doctor
from gradedesk.sandbox.bwrap import INSTALL

WHY_NOT = sandbox.available()
isolated = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@isolated
def test_this_machine_can_grade(tmp_path):
    found = doctor.checks(tmp_path / "grading")
    assert not [check for check in found if not check.ok and check.name not in ("disk", "memory")]
    counted = () if cgroup.available() else attempts.COUNTED
    assert len(found) == 10 + 2 * len(attempts.ATTEMPTS + counted)
    assert {check.name: check.detail for check in found}["warm workers"] == "fork"
    assert all(check.detail and not check.mend for check in found if check.ok)


# Those that do no harm where nothing holds them back.
HARMLESS = (
    attempts.read_a_file,
    attempts.read_the_course,
    attempts.read_the_environment,
    attempts.end_another_process,
    attempts.use_the_network,
    attempts.become_root,
    attempts.outlive_the_desk,
)


@pytest.mark.skipif(sys.platform != "linux", reason="the attempts are on Linux's system calls")
@pytest.mark.parametrize("attempt", HARMLESS, ids=lambda attempt: attempt.__name__)
def test_each_attempt_comes_through_without_a_sandbox(attempt):
    with attempts.outside() as outside:
        check = doctor._try(attempt, lambda limits: Sandbox(limits, isolated=False), outside)
    assert not check.ok and "not known" not in check.detail
    assert check.mend


@isolated
def test_an_attempt_that_fails_is_not_contained(monkeypatch):
    def broken(make, outside):
        return attempts.answer(make, "got = undefined")

    check = doctor._try(broken, Sandbox, None)
    assert not check.ok and "NameError" in check.detail


@isolated
def test_no_warm_workers_is_no_fault(monkeypatch):
    def refuse():
        raise sandbox.SandboxUnavailable("unshare: Operation not permitted")

    monkeypatch.setattr(doctor, "Zygote", refuse)
    monkeypatch.setattr(doctor, "ATTEMPTS", ())
    last = doctor.checks()[-1]
    assert last == ("warm workers", True, "not here: unshare: Operation not permitted", "")


def test_where_there_are_no_groups_it_says_what_is_not_promised(monkeypatch):
    monkeypatch.setattr(cgroup, "available", lambda: "/sys/fs/cgroup: Read-only file system")
    check = doctor._groups()
    assert check.ok and check.detail.startswith("none: /sys/fs/cgroup: Read-only file system. Not")
    assert "systemd-run" in check.detail


def test_no_bubblewrap(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", "")
    found = {check.name: check for check in doctor.checks()}
    assert found["bubblewrap"].mend == found["sandbox"].mend == INSTALL
    assert not found["sandbox"].ok


def test_every_failure_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "DISK_BYTES", 1 << 60)
    monkeypatch.setattr(doctor, "PYTHONS", ((4, 0), (4, 1)))
    monkeypatch.setattr(sys, "platform", "darwin")
    found = {check.name: check for check in doctor.checks(tmp_path)}
    assert not found["disk"].ok and "1,099,511,627,776 MB" in found["disk"].mend
    assert "Python 4.0 to 4.1" in found["Python"].mend
    assert "container" in found["system"].mend and "container" in found["sandbox"].mend
