"""gradedesk.zygote: which folders must be mounted again for a sandbox that is forked."""

import importlib
import io
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")


@pytest.fixture
def below(monkeypatch):
    """mounted_below(folders), and what Linux says is mounted."""
    # It runs as a script in its own folder, so it imports its neighbours by their bare names.
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "gradedesk" / "sandbox")
    zygote = importlib.import_module("zygote")

    def mounted_below(folders, *points):
        escaped = [str(point).replace(" ", r"\040") for point in points]
        lines = "".join(f"36 35 98:0 / {point} rw - tmpfs tmpfs rw\n" for point in escaped)
        monkeypatch.setattr(zygote, "open", lambda *_, **__: io.StringIO(lines), raising=False)
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


def test_a_folder_with_a_space_in_its_name_is_found(below, tmp_path):
    spaced = folder(tmp_path / "my course")
    assert below([tmp_path], spaced) == [str(spaced)]


def test_a_mounted_file_is_not_a_folder(below, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert below([tmp_path], tmp_path / "file") == []
