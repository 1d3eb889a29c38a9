"""What a student chose costs the desk steps in line with its size, or a bounded number of them.

A step is one instruction of Python's, or one character that a pattern may look at. A pattern that
may begin anywhere in a text can look at the rest of it from each place: it counts as the square.
"""

import io
import json
import os
import re
import sys
import tarfile
import tokenize
from contextlib import contextmanager
from types import SimpleNamespace

import msgpack
import pytest
from classroom import F, cell, small_lab

from gradedesk.checks import Differs, same
from gradedesk.desk import Desk
from gradedesk.grading import answers, grade
from gradedesk.grading.outcome import explain
from gradedesk.grading.standin import StandIn
from gradedesk.intake import archives, collect
from gradedesk.intake.collect import CollectReport, HandIn
from gradedesk.lab import Cell, Lab
from gradedesk.names import DeskError
from gradedesk.plain import plain
from gradedesk.results import similar
from gradedesk.results.report import mistake
from gradedesk.sandbox import Limits, Reply, Sandbox, box, wire


@contextmanager
def counted(monkeypatch):
    """Counts the steps of this thread in its `steps`."""
    count = SimpleNamespace(steps=0)

    def trace(frame, event, _):
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count.steps += event == "opcode"
        return trace

    def count_pattern(name, power):
        real = getattr(re, name)

        def run(pattern, *args, **options):
            text = args[1] if name in ("sub", "subn") else args[0]
            count.steps += len(text) ** power
            return real(pattern, *args, **options)

        return run

    before = sys.gettrace()
    with monkeypatch.context() as patch:
        for name in ("search", "findall", "finditer", "split", "sub", "subn"):
            patch.setattr(re, name, count_pattern(name, 2))
        for name in ("match", "fullmatch"):
            patch.setattr(re, name, count_pattern(name, 1))
        sys.settrace(trace)
        try:
            yield count
        finally:
            sys.settrace(before)


# --- Hostile input of size n, and what the desk does with it -----------------------------------
# Each is given a folder, and what counts the steps; what Python does not see it counts itself.


def magic(n, _):
    return lambda _: explain("SyntaxError: invalid syntax", "\n" * n + "x = (")


def message(n, _):
    return lambda _: mistake("[" * n)


def escapes(n, _):
    return lambda _: plain("\x1b[0" * n)


def stripped(n, _):
    """A notebook of n cells that have lost their metadata, to a lab of as many."""
    kinds = [("setup", f"x{i} = {i}") if i % 2 else ("answer", "pass") for i in range(n)]
    cells = [Cell(kind, "code", f"c{i}", f"q{i}", 0, text) for i, (kind, text) in enumerate(kinds)]
    lab = Lab("lab", [*cells, Cell("test", "code", "t", "q1-t", 1, "assert True")])
    raw = [{"cell_type": "code", "metadata": {}, "source": text} for _, text in kinds]
    data = json.dumps({"nbformat": 4, "metadata": {}, "cells": raw}).encode()

    def read(_):
        found = answers.read_submission(data, lab)
        assert len(found.answers) >= n // 2 - 1 and found.status == "tampered"

    return read


def stripped_of_one_id(n, _):
    cells = [{"cell_type": "code", "metadata": {}, "id": "q1", "source": "x"}] * n
    data = json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}).encode()
    return lambda _: answers.read_submission(data, small_lab())


def in_pairs(n, _):
    written = {f"s{i:05}": f"w{i // 2}" for i in range(n)}

    def compare(_):
        assert len(similar.near_identical("q", written, prose=True, min_tokens=1).groups) == n // 2

    return compare


def about_one(n, _):
    """n answers, each near to the last one only."""
    words = " ".join(f"w{i}" for i in range(20))
    written = {f"s{i:05}": f"{words} x{i} y{i} z{i}" for i in range(n)} | {"the last": words}

    def compare(_):
        (group,) = similar.near_identical("q", written, prose=True, min_tokens=1).groups
        assert len(group.students) == n + 1

    return compare


def hand_in(student, name="", user=""):
    entry = archives.Entry(f"{student}.ipynb", bytes, parts=(f"{student}.ipynb",))
    return HandIn(entry, student, name, user, "lab01.ipynb")


def of_one_name(n, folder):
    """n people of one name. What is said of each is as long as the steps that made it."""
    found = [hand_in("ada", "Ada", str(10**6 + i)) for i in range(n)]

    def tell(count):
        report = CollectReport("lab01")
        assert collect._told_apart(found, Desk(folder), {}, "moodle", report) == []
        count.steps += sum(len(line.text) for line in report.found)

    return tell


def alike(n, folder):
    """n ids that look the same; each comparison of two is a step."""
    compared = []

    class Id(str):
        def __lt__(self, other):
            compared.append(1)
            return str.__lt__(self, other)

    letters = ["".join("aA"[i >> k & 1] for k in range(12)) for i in range(n)]
    found = [hand_in(Id(letter)) for letter in letters]

    def tell(count):
        assert collect._told_apart(found, Desk(folder), {}, "plain", CollectReport("lab01")) == []
        count.steps += len(compared)

    return tell


def of_one_student(n, folder):
    """n notebooks of one student, collected twice."""
    inbox, desk = folder / "inbox", Desk(folder / "desk")
    (inbox / "ada").mkdir(parents=True)
    for i in range(n):
        (inbox / "ada" / f"lab01 ({i}).ipynb").write_text(str(i))

    def gather(_):
        for _ in range(2):
            collect.collect("lab01", inbox, "plain", desk)
        assert len(list((desk.of("ada", "lab01") / "older").iterdir())) == n - 1

    return gather


def nested(n, _):
    data = wire.pack([[[0, {"a": 1}]] * 10] * n)
    return lambda _: wire.unpack(data)


def handles(n, _):
    reply = Reply([wire.Handle(i) for i in range(n)], {})
    inside = SimpleNamespace(call=lambda *args, **options: reply)
    return lambda _: StandIn(inside, "f")()


def last_words(n, _):
    return lambda _: box._one_line("\x1b" * n)


def other_keys(n, _):
    got = {i: 0 for i in range(n)}

    def compare(_):
        with pytest.raises(Differs):
            same(got, {"a": 0}, "")

    return compare


LINEAR = {
    magic: 500,
    stripped: 300,
    stripped_of_one_id: 300,
    in_pairs: 500,
    about_one: 400,
    of_one_name: 200,
    alike: 500,
    of_one_student: 30,
    nested: 100,
    handles: 300,
    other_keys: 300,
}
BOUNDED = {message: 2000, escapes: 20_000, last_words: 3000}


def steps(monkeypatch, make, n, folder):
    run = make(n, folder)
    with counted(monkeypatch) as count:
        run(count)
    return count.steps


@pytest.mark.parametrize("make", LINEAR, ids=lambda make: make.__name__)
def test_twice_the_input_takes_about_twice_the_steps(monkeypatch, tmp_path, make):
    n = LINEAR[make]
    steps(monkeypatch, make, n, tmp_path / "first")  # imports and caches
    once, twice = (steps(monkeypatch, make, k * n, tmp_path / str(k)) for k in (1, 2))
    assert 0 < twice < 2.5 * once


@pytest.mark.parametrize("make", BOUNDED, ids=lambda make: make.__name__)
def test_past_a_size_more_input_takes_no_more_steps(monkeypatch, tmp_path, make):
    n = BOUNDED[make]
    steps(monkeypatch, make, n, tmp_path)
    once, twice = (steps(monkeypatch, make, k * n, tmp_path) for k in (1, 2))
    assert 0 < twice < 1.1 * once


# --- What takes its steps where none can be counted ----------------------------------------------


def test_code_is_taken_apart_up_to_the_first_string_without_an_end(monkeypatch):
    """From each quote the search for the end of a string goes to the end of its line."""
    seen, real = [], tokenize.generate_tokens

    def tokens(readline):
        for token in real(readline):
            seen.append(token)
            yield token

    monkeypatch.setattr(similar.tokenize, "generate_tokens", tokens)
    assert similar.normalise("x = '" + "\\'" * 1000) == ["x", "=", *["'", "\\"] * 1000, "'"]
    assert len(seen) <= 5


def test_a_class_can_use_more_words_than_there_are_characters():
    many = [[f"{i} {j}" for j in range(1000)] for i in range(1200)]
    found = similar._similarities(many, [many[-1]], 0.9)[:, 0]
    assert found[-1] == 1 and not found[:-1].any()


@pytest.mark.parametrize("spread", [1, 10], ids=["in-one-dictionary", "in-ten"])
def test_whole_numbers_as_keys_are_few(spread):
    """Which Python hashes to themselves, so that n of them can take n * n / 2 steps."""
    limits = wire.WireLimits(max_items=100_000)
    fits = limits.max_int_keys
    assert fits**2 / 2 < 1e9
    dictionaries = [{i: 0 for i in range(k, fits, spread)} for k in range(spread)]
    assert wire.unpack(wire.pack(dictionaries, limits), limits) == dictionaries
    dictionaries[-1][fits] = 0
    with pytest.raises(wire.WireError, match="whole numbers as keys"):
        wire.pack(dictionaries, limits)
    with pytest.raises(wire.WireError, match="whole numbers as keys"):
        wire.unpack(msgpack.packb(dictionaries), limits)
    texts = {str(i): 0 for i in range(4 * fits)}
    assert wire.unpack(wire.pack(texts, limits), limits) == texts


def test_the_parts_of_a_message_are_counted_together():
    limits = wire.WireLimits(max_bytes=40, max_items=10)
    numbers = msgpack.packb([0] * 10)
    assert wire.unpack_all([numbers] * 1, limits) == [[0] * 10]
    with pytest.raises(wire.WireError, match="items"):
        wire.unpack_all([numbers] * 3, limits)
    with pytest.raises(wire.WireError, match="bytes"):
        wire.unpack_all([msgpack.packb("x" * 15)] * 3, limits)


def test_a_result_and_the_arguments_it_changed_are_counted_together():
    """Such a reply the worker itself refuses: it costs the call, and not the sandbox."""
    code = "def grow(*lists):\n    for one in lists:\n        one += range(900)\n"
    with Sandbox(Limits(reply_items=1000), isolated=False) as box:
        box.exec(code, name="q1")
        assert box.call("grow", [[], []]).ok
        reply = box.call("grow", [[], [], []])
        assert reply.error.message.endswith("a message of more than 1,000 items")
        assert box.call("grow", [[]]).args == {0: list(range(900))}


@pytest.mark.parametrize("length", [10_000, 30_000_000])
def test_a_long_header_of_a_tar_archive_is_not_searched(tmp_path, length):
    """Patterns of tarfile's, up to Python 3.11.9, take the square of its length."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, length
    body = b"1" * length + bytes(-length % 512)
    path = tmp_path / "all.tar"
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + body + bytes(1024))
    with pytest.raises(DeskError, match="more than 8,192 bytes at once"):
        with archives.open_source(path):
            pass


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_long_name_in_a_tar_archive_is_read(tmp_path, kind):
    name = "/".join(["\u6587" * 80] * 4)
    with tarfile.open(tmp_path / "all.tar", "w", format=kind) as archive:
        member = tarfile.TarInfo(name)
        member.size = 20_000
        archive.addfile(member, io.BytesIO(b"x" * 20_000))
    with archives.open_source(tmp_path / "all.tar") as source:
        (entry,) = source.entries
        assert entry.name == name and entry.read() == b"x" * 20_000


def test_texts_are_hashed_by_a_secret_of_the_desks(tmp_path, monkeypatch):
    """The same for each run, so that the scores are the same, too."""
    desks = [Desk(tmp_path / name) for name in ("one", "two")]
    for desk in desks:
        (desk.of("ada", "lab01-small")).mkdir(parents=True)
        (desk.of("ada", "lab01-small") / "lab01-small.ipynb").write_bytes(b"{}")
    given = []
    failed = grade.run.missing(small_lab(), "ada")
    monkeypatch.setattr(
        grade.run, "grade_one", lambda *_, hash_seed, **__: given.append(hash_seed) or failed
    )
    for desk in [*desks, *desks]:
        grade.grade(desk, small_lab(), regrade=True)
    assert given[:2] == given[2:] and given[0] != given[1]
    if os.name == "posix":
        assert (desks[0].folder / "hash-seed").stat().st_mode & 0o077 == 0


def test_the_tests_hash_by_the_seed_that_is_given(small):
    asked = "from gradedesk.board import figure\nfigure('hash', hash('a') % 1000_003)"
    cells = [cell(F, "q1", "answer"), cell(asked, "q1-t", "test", 1)]
    hashed = [small(cells, {"q1": F}, isolated=False, hash_seed=s).figures for s in (1, 1, 2)]
    assert hashed[0] == hashed[1] != hashed[2] != []


def test_a_hash_seed_that_is_none_is_said(tmp_path):
    (tmp_path / "hash-seed").write_text("x")
    with pytest.raises(DeskError, match="hash-seed is no number"):
        Desk(tmp_path).hash_seed()
