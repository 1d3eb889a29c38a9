"""gradedesk.zygote: which folders must be mounted again for a sandbox that is forked."""

import importlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gradedesk import sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")


def as_linux(point):
    """A path in /proc/self/mountinfo: four characters as their octal number, else its bytes."""
    return re.sub(rb"[ \t\n\\]", lambda found: b"\\%03o" % ord(found[0]), os.fsencode(point))


@pytest.fixture
def below(monkeypatch):
    """mounted_below(folders), and what Linux says is mounted."""
    # It runs as a script in its own folder, so it imports its neighbours by their bare names.
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "gradedesk" / "sandbox")
    zygote = importlib.import_module("zygote")

    def mounted_below(folders, *points):
        lines = b"".join(b"36 35 98:0 / %b rw - tmpfs tmpfs rw\n" % as_linux(p) for p in points)
        monkeypatch.setattr(zygote, "open", lambda *_, **__: io.BytesIO(lines), raising=False)
        return zygote.mounted_below([str(folder) for folder in folders])

    return mounted_below


def folder(path):
    path.mkdir(parents=True)
    return path


def test_only_what_is_mounted_below_the_folders_is_found(below, tmp_path):
    tmp = folder(tmp_path / "tmp")
    python, other = folder(tmp / "python"), folder(tmp_path / "other")
    assert below([tmp], "/", other, tmp, python) == [str(python)]
    assert below([tmp], "/", other, tmp) == []


def test_a_folder_whose_name_only_begins_alike_is_not_below(below, tmp_path):
    tmp, longer = folder(tmp_path / "tmp"), folder(tmp_path / "tmp2" / "python")
    assert below([tmp], longer) == []


def test_of_mounts_within_each_other_only_the_outermost_is_found(below, tmp_path):
    outer, alike = folder(tmp_path / "python"), folder(tmp_path / "python3")
    inner = folder(outer / "lib")
    assert below([tmp_path], inner, outer, alike) == [str(outer), str(alike)]


@pytest.mark.parametrize(
    "name",
    ["my course", "课程 目录", "Übung", "a\tb", "a\nb", "a\\b", r"a\040b", "a\rb\x0b", b"\xe4\xff"],
    ids=ascii,
)
def test_a_folder_of_any_name_is_found(below, tmp_path, name):
    odd = folder(tmp_path / os.fsdecode(name))
    assert below([tmp_path], odd) == [str(odd)]


@pytest.mark.skipif(bool(sandbox.available()), reason=str(sandbox.available()))
@pytest.mark.parametrize("name", ["课程 目录", "a\\b\tc", b"\xe4 \xff"], ids=ascii)
def test_what_linux_says_of_a_mount_is_read(tmp_path, name):
    """A mount that there is, in namespaces of our own."""
    odd = folder(tmp_path / os.fsdecode(name))
    (odd / "there").write_bytes(b"")
    script = (
        "import os, subprocess, sys, zygote\n"
        "tmp, odd = sys.argv[1:]\n"
        "subprocess.run(['mount', '--bind', odd, odd], check=True)\n"
        "print(ascii(zygote.mounted_below([tmp])))"
    )
    alone = ["unshare", "--mount"] + (["--user", "--map-root-user"] if os.getuid() else [])
    done = subprocess.run(
        [*alone, sys.executable, "-c", script, tmp_path, odd],
        cwd=Path(__file__).resolve().parents[2] / "gradedesk" / "sandbox",
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == ascii([str(odd)]), done.stderr


def test_a_mounted_file_is_found_and_what_is_gone_is_not(below, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert below([tmp_path], tmp_path / "file") == [str(tmp_path / "file")]
    assert below([tmp_path], f"{tmp_path}/was//deleted") == []
