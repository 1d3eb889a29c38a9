"""Collecting: whose each notebook is, which one counts, and what is refused and why."""

import io
import json
import os
import re
import shutil
import stat
import struct
import sys
import tarfile
import unicodedata
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import regex

from gradedesk import names, plain
from gradedesk.desk import Desk
from gradedesk.intake import archives
from gradedesk.intake.collect import collect
from gradedesk.names import BadName, DeskError

LAB = "lab01-ngram"
NOON = (2026, 10, 12, 12, 0, 0)


def notebook(text="1"):
    return json.dumps({"cells": [], "metadata": {"text": text}, "nbformat": 4}).encode()


def pack(path, *entries, compress=zipfile.ZIP_DEFLATED):
    """A ZIP archive of (name or ZipInfo, bytes); names get different times, an hour apart."""
    with zipfile.ZipFile(path, "w", compress) as archive:
        for hour, (name, data) in enumerate(entries):
            if isinstance(name, str):
                name = zipfile.ZipInfo(name, (2026, 10, 12, hour % 24, 0, 0))
                name.compress_type = compress
            archive.writestr(name, data)
    return path


def special(name, mode, data=b"target"):
    info = zipfile.ZipInfo(name, NOON)
    info.create_system = 3
    info.external_attr = mode << 16
    return info, data


@pytest.fixture
def desk(tmp_path):
    folder = tmp_path / "desk"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def outside(tmp_path):
    """Nothing beside the desk may change: what stands there before a test stands there after."""
    secret = tmp_path / "outside"
    secret.mkdir()
    (secret / f"{LAB}.ipynb").write_bytes(b"not a student's")
    yield secret
    assert [p.name for p in secret.iterdir()] == [f"{LAB}.ipynb"]
    assert (secret / f"{LAB}.ipynb").read_bytes() == b"not a student's"


def files(desk):
    """Every file of the desk but received.json, and its bytes."""
    found = {p.relative_to(desk).as_posix(): p for p in sorted(desk.rglob("*")) if p.is_file()}
    assert not [name for name in found if name.endswith(".tmp")]
    return {n: p.read_bytes() for n, p in found.items() if p.name != "received.json"}


def received(desk, student, lab=LAB):
    path = desk / "submitted" / student / lab / "received.json"
    return json.loads(path.read_text(encoding="utf-8"))


def run(path, desk, fmt="plain", **more):
    return collect(LAB, path, fmt, Desk(desk), **more)


def refused_for(report):
    return [line.text for line in report.refused]


# --- What learning platforms give ----------------------------------------------------------------


def test_canvas_names_give_student_and_lateness(tmp_path, desk):
    path = pack(
        tmp_path / "submissions.zip",
        (f"lovelaceada_12345_67890_{LAB}.ipynb", notebook("ada")),
        (f"turingalan_LATE_12346_67891_{LAB}-1.ipynb", notebook("alan")),
    )
    report = run(path, desk, "canvas")
    assert report.students == ["lovelaceada-12345", "turingalan-12346"]
    assert files(desk)[f"submitted/lovelaceada-12345/{LAB}/{LAB}.ipynb"] == notebook("ada")
    assert received(desk, "lovelaceada-12345")["late"] is False
    assert received(desk, "turingalan-12346")["late"] is True
    assert [line.late for line in report.of("collected")] == [False, True]
    assert report.lines()[-1] == f"{LAB}: 2 collected"


def test_canvas_says_itself_who_is_late(tmp_path, desk):
    path = pack(tmp_path / "a.zip", (f"lovelaceada_1_2_{LAB}.ipynb", notebook()))
    report = run(path, desk, "canvas", deadline=datetime(2026, 1, 1, tzinfo=UTC))
    assert received(desk, "lovelaceada-1")["late"] is False
    assert "Canvas marks late work itself" in report.notes[0]


def test_the_class_list_turns_a_canvas_number_into_a_student(tmp_path, desk):
    (desk / "roster.csv").write_text("student,name,id\nada,Ada Lovelace,12345\n", encoding="utf-8")
    path = pack(
        tmp_path / "a.zip",
        (f"lovelaceada_12345_1_{LAB}.ipynb", notebook()),
        (f"turingalan_7_2_{LAB}.ipynb", notebook()),
    )
    report = run(path, desk, "canvas")
    assert report.students == ["ada", "turingalan-7"]
    assert report.notes == ["turingalan-7 is not on the class list (roster.csv)."]


@pytest.mark.parametrize(
    "name",
    [
        f"ada_99_5_12345_67890_{LAB}.ipynb",  # a name chosen to be read as user 99
        f"a_b_99_5_{LAB}.ipynb",
        f"ada_99_5_q_12345_67890_{LAB}.ipynb",
    ],
)
def test_a_canvas_name_that_can_be_read_as_two_students_is_refused(tmp_path, desk, name):
    report = run(pack(tmp_path / "a.zip", (name, notebook())), desk, "canvas")
    assert "two students" in refused_for(report)[0]
    assert not files(desk)


def test_a_name_that_canvas_does_not_write_is_refused(tmp_path, desk):
    report = run(pack(tmp_path / "a.zip", (f"{LAB}.ipynb", notebook())), desk, "canvas")
    assert refused_for(report) == ["is not named as Canvas does: <name>_<user>_<file>_<file name>"]


def test_moodle_folders_give_the_student(tmp_path, desk):
    path = pack(
        tmp_path / "a.zip",
        (f"Ada Lovelace_311_assignsubmission_file_/{LAB}.ipynb", notebook("ada")),
        (f"Łukasz O'Neil_312_assignsubmission_file/{LAB}.ipynb", notebook("lukasz")),
        (f"李 小龙_313_assignsubmission_file_{LAB}.ipynb", notebook("flat")),
    )
    report = run(path, desk, "moodle")
    assert report.students == ["Ada-Lovelace", "Łukasz-ONeil", "李-小龙"]
    assert received(desk, "Łukasz-ONeil")["name"] == "Łukasz O'Neil"
    assert files(desk)[f"submitted/李-小龙/{LAB}/{LAB}.ipynb"] == notebook("flat")


def test_the_class_list_turns_a_moodle_name_into_a_student(tmp_path, desk):
    (desk / "roster.csv").write_text("student;name\nada;Ada Lovelace\n", encoding="utf-8-sig")
    name = f"course/Ada Lovelace_311_assignsubmission_file_/{LAB}.ipynb"
    assert run(pack(tmp_path / "a.zip", (name, notebook())), desk, "moodle").students == ["ada"]


def test_two_people_of_one_name_are_not_mixed_up(tmp_path, desk):
    one = f"Ada Lovelace_311_assignsubmission_file_/{LAB}.ipynb"
    two = f"Ada Lovelace_312_assignsubmission_file_/{LAB}.ipynb"
    report = run(
        pack(tmp_path / "a.zip", (one, notebook("1")), (two, notebook("2"))), desk, "moodle"
    )
    assert len(report.refused) == 2 and "(311, 312)" in refused_for(report)[0]
    assert not files(desk)


def test_a_namesake_in_a_later_archive_is_not_mixed_up(tmp_path, desk):
    for number in 311, 312:
        name = f"Ada Lovelace_{number}_assignsubmission_file_/{LAB}.ipynb"
        report = run(pack(tmp_path / "a.zip", (name, notebook(str(number)))), desk, "moodle")
    assert "several people" in refused_for(report)[0]
    assert list(files(desk).values()) == [notebook("311")]


def test_text_typed_into_moodle_is_no_file(tmp_path, desk):
    name = "Ada Lovelace_311_assignsubmission_onlinetext_/onlinetext.html"
    report = run(pack(tmp_path / "a.zip", (name, b"<p>hi</p>")), desk, "moodle")
    assert [line.student for line in report.of("empty")] == ["Ada-Lovelace"]


@pytest.mark.parametrize(
    "name", [f"ada/{LAB}.ipynb", "ada.ipynb", f"ada/{LAB}/{LAB}.ipynb", f"./ada/{LAB}.ipynb"]
)
def test_plain_archives_and_folders_give_the_student(tmp_path, desk, name):
    report = run(pack(tmp_path / "a.zip", (name, notebook())), desk)
    assert report.students == ["ada"]
    source = tmp_path / "in"
    (source / name).parent.mkdir(parents=True)
    (source / name).write_bytes(notebook("2"))
    assert run(source, desk).students == ["ada"]


def test_a_notebook_that_does_not_say_whose_it_is_is_refused(tmp_path, desk):
    report = run(pack(tmp_path / "a.zip", (f"{LAB}.ipynb", notebook())), desk)
    assert refused_for(report) == ["does not say whose it is: name it <student>.ipynb"]


def test_names_of_an_archive_packed_by_macos_are_read(tmp_path, desk):
    name = f"Łukasz Ó_7_assignsubmission_file_/{LAB}.ipynb"
    path = pack(tmp_path / "a.zip", (name, notebook()), compress=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for mark, at in (b"PK\x03\x04", 6), (b"PK\x01\x02", 8):  # no longer says that it is UTF-8
        data[data.index(mark) + at + 1] &= ~0x08
    path.write_bytes(data)
    assert run(path, desk, "moodle").students == ["Łukasz-Ó"]


# --- Which notebook counts -----------------------------------------------------------------------


def test_of_several_attempts_the_last_is_the_newest_and_the_others_are_kept(tmp_path, desk):
    path = pack(
        tmp_path / "a.zip",
        (f"lovelaceada_1_903_{LAB}-2.ipynb", notebook("third")),
        (f"lovelaceada_1_901_{LAB}.ipynb", notebook("first")),
        (f"lovelaceada_1_902_{LAB}-1.ipynb", notebook("second")),
    )
    report = run(path, desk, "canvas")
    folder = f"submitted/lovelaceada-1/{LAB}"
    found = files(desk)
    assert found.pop(f"{folder}/{LAB}.ipynb") == notebook("third")
    assert sorted(found.values()) == sorted([notebook("first"), notebook("second")])
    assert all(name.startswith(f"{folder}/older/") for name in found)
    assert len(report.of("collected")) == 1 and len(report.of("older")) == 2


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_the_newest_wins_in_whatever_order_it_is_collected(tmp_path, desk, order):
    hour = {"old": 9, "new": 15}
    for name in order:
        info = zipfile.ZipInfo(f"ada/{LAB}.ipynb", (2026, 10, 12, hour[name], 0, 0))
        run(pack(tmp_path / "a.zip", (info, notebook(name))), desk)
    found = files(desk)
    assert found.pop(f"submitted/ada/{LAB}/{LAB}.ipynb") == notebook("new")
    assert list(found.values()) == [notebook("old")]


def test_collecting_the_same_archive_again_changes_nothing(tmp_path, desk):
    path = pack(
        tmp_path / "a.zip",
        (f"lovelaceada_1_901_{LAB}.ipynb", notebook("first")),
        (f"lovelaceada_1_902_{LAB}-1.ipynb", notebook("second")),
    )
    run(path, desk, "canvas")
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in desk.rglob("*") if p.is_file()}
    report = run(path, desk, "canvas")
    after = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in desk.rglob("*") if p.is_file()}
    assert before == after
    assert len(report.of("unchanged")) == 2 and not report.students


def test_going_back_to_an_earlier_version_counts_as_the_newest(tmp_path, desk):
    for hour, text in enumerate("aba"):
        info = zipfile.ZipInfo(f"ada/{LAB}.ipynb", (2026, 10, 12, 9 + hour, 0, 0))
        run(pack(tmp_path / "a.zip", (info, notebook(text))), desk)
    assert files(desk)[f"submitted/ada/{LAB}/{LAB}.ipynb"] == notebook("a")
    assert received(desk, "ada")["received"] is not None


def test_a_stop_between_notebook_and_received_json_is_mended(tmp_path, desk):
    path = pack(tmp_path / "a.zip", (f"ada/{LAB}.ipynb", notebook()))
    run(path, desk)
    whole = received(desk, "ada")
    (desk / "submitted/ada" / LAB / "received.json").unlink()
    assert run(path, desk).of("unchanged")
    assert received(desk, "ada") == whole


def test_a_wrong_file_name_is_taken_and_said(tmp_path, desk):
    name = "Ada Lovelace_311_assignsubmission_file_/Untitled.ipynb"
    report = run(pack(tmp_path / "a.zip", (name, notebook())), desk, "moodle")
    assert f"its name is not {LAB}.ipynb" in report.of("collected")[0].text
    assert files(desk) == {f"submitted/Ada-Lovelace/{LAB}/{LAB}.ipynb": notebook()}


def test_the_right_name_goes_before_a_wrong_one(tmp_path, desk):
    folder = "Ada Lovelace_311_assignsubmission_file_"
    path = pack(
        tmp_path / "a.zip",
        (f"{folder}/{LAB} (1).ipynb", notebook("right")),
        (f"{folder}/scratch.ipynb", notebook("wrong")),
    )
    report = run(path, desk, "moodle")
    assert files(desk) == {f"submitted/Ada-Lovelace/{LAB}/{LAB}.ipynb": notebook("right")}
    assert report.of("ignored")[0].entry.endswith("scratch.ipynb")


def test_another_lab_in_a_students_folder_is_left_alone(tmp_path, desk):
    path = pack(tmp_path / "a.zip", ("ada/lab02-bpe.ipynb", notebook()))
    report = run(path, desk)
    assert report.of("ignored")[0].text == "looks like another lab's"
    assert [line.student for line in report.of("empty")] == ["ada"]
    assert not files(desk)


def test_an_empty_folder_is_reported(tmp_path, desk):
    source = tmp_path / "in"
    (source / "ada").mkdir(parents=True)
    assert [line.student for line in run(source, desk).of("empty")] == ["ada"]
    assert (desk / "submitted/ada" / LAB).is_dir(), "the grader calls whoever has one missing"
    path = pack(tmp_path / "a.zip", ("Alan Turing_3_assignsubmission_file_/", b""))
    assert [line.student for line in run(path, desk, "moodle").of("empty")] == ["Alan-Turing"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ada/notes.txt", "is no notebook"),
        ("ada/work.zip", "archive inside the archive"),
        ("ada/.ipynb_checkpoints/lab01-ngram-checkpoint.ipynb", "left"),
        ("__MACOSX/ada/._lab01-ngram.ipynb", "left"),
        ("readme.txt", "is no notebook"),
    ],
)
def test_what_is_no_notebook_is_ignored_with_a_line(tmp_path, desk, name, reason):
    report = run(pack(tmp_path / "a.zip", (name, b"x")), desk)
    assert [reason in line.text for line in report.of("ignored")] == [True]
    assert not files(desk)


# --- Late ----------------------------------------------------------------------------------------


def local(hour):
    return datetime(2026, 10, 12, hour)


def test_what_came_after_the_deadline_is_marked_late(tmp_path, desk):
    path = pack(
        tmp_path / "a.zip", *((f"{s}/{LAB}.ipynb", notebook(s)) for s in ("ada", "alan", "grace"))
    )
    run(path, desk, deadline=local(1))
    assert [received(desk, s)["late"] for s in ("ada", "alan", "grace")] == [False, False, True]
    time = datetime.fromisoformat(received(desk, "grace")["received"])
    assert time == local(2).astimezone()


def test_a_time_in_utc_goes_before_a_local_one(tmp_path, desk):
    info = zipfile.ZipInfo(f"ada/{LAB}.ipynb", NOON)
    time = datetime(2026, 10, 12, 6, 30, tzinfo=UTC)
    info.extra = struct.pack("<HHBi", 0x5455, 5, 1, int(time.timestamp()))
    run(pack(tmp_path / "a.zip", (info, notebook())), desk)
    assert received(desk, "ada")["received"] == "2026-10-12T06:30:00+00:00"


def test_times_of_packing_make_nobody_late(tmp_path, desk):
    infos = [zipfile.ZipInfo(f"{s}/{LAB}.ipynb", NOON) for s in ("ada", "alan")]
    path = pack(tmp_path / "a.zip", *((info, notebook(info.filename)) for info in infos))
    report = run(path, desk, deadline=local(1))
    assert received(desk, "ada")["late"] is False and received(desk, "ada")["received"] is None
    assert "nobody was marked late" in report.notes[0]


# --- Student ids ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("student", "reason"),
    [
        ("=cmd", "'='"),
        ("-ada", "must begin"),
        ("ada.", "must begin"),
        ("ada lovelace", "' '"),
        ("con", "Windows"),
        ("NUL.x", "Windows"),
        ("Com1.tar.gz", "Windows"),
        ("LPT9", "Windows"),
        ("com¹", "Windows"),
        ("LPT³.a", "Windows"),
        ("ｃｏｎ", "Windows"),
        ("ada\u034f", "invisible"),
        ("ada\u3164", "invisible"),
        ("ada\u2800", "invisible"),
        ("a\u200dda", "invisible"),
        ("ada\ufe0f", "invisible"),
        ("a\u0301\u0302\u0301\u0302\u0301\u0302\u0301da", "heaped"),
        ("a\u0301\u0323\u0301da", "heaped"),
        ("ada\u00a0king", "'\\xa0'"),
        ("аda", "mixes Latin and Cyrillic"),
        ("a" * 65, "65 characters"),
        ("ada?", "'?'"),
    ],
)
def test_an_unsafe_student_id_is_refused(tmp_path, desk, student, reason):
    report = run(pack(tmp_path / "a.zip", (f"{student}/{LAB}.ipynb", notebook())), desk)
    assert [reason in text for text in refused_for(report)] == [True]
    assert not files(desk)


def test_whatever_unicode_lets_a_program_ignore_is_invisible():
    """By another reader of Unicode's tables: the regex package, of a version of its own."""
    ignorable = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    every = {chr(code) for code in range(sys.maxunicode + 1)}
    ignored = {char for char in every if ignorable.match(char)}
    assert len(ignored) > 4000 and all(map(plain.invisible, ignored))
    letters = re.compile(r"[LMN]")
    drawn = {c for c in every - ignored if letters.match(unicodedata.category(c))}
    assert {f"{ord(c):X}" for c in drawn if plain.invisible(c)} <= {"13441", "13442", "16FE4"}


@pytest.mark.parametrize("char", sorted({*plain.SHAPELESS, *"\u00ad\u200b\u2060\U000e0041\ue000"}))
def test_no_invisible_character_makes_another_student(char):
    for text in (f"ada{char}", f"a{char}da", f"{char}ada", f"ada-{char}1", f"ada{char}.x"):
        with pytest.raises(BadName, match=f"invisible character in its name .U.{ord(char):04X}"):
            names.check_id(text)
    assert names.skeleton(f"ada{char}") == "ada", "a folder from before this was refused"
    assert f"{ord(char):x}" in names.shown(f"ada{char}").lower()
    assert plain.plain(f"ada{char}") == f"ada⟨U+{ord(char):04X}⟩"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("Ada King, Countess", "Ada-King-Countess"),
        ("O'Neil D’Arcy", "ONeil-DArcy"),
        ("Łukasz Żółć", "Łukasz-Żółć"),
        ("Nguyễn Thị Ánh", "Nguyễn-Thị-Ánh"),
        ("Björk Guðmundsdóttir", "Björk-Guðmundsdóttir"),
        ("Gal·la Puig", "Gal-la-Puig"),
        ("ʻIolani Kealoha", "ʻIolani-Kealoha"),
        ("Мар'яна Їжак", "Маряна-Їжак"),
        ("Ἀχιλλεύς ᾧ", "Ἀχιλλεύς-ᾧ"),
        ("محمد بن موسى", "محمد-بن-موسى"),
        ("مُحَمَّد", "مُحَمَّد"),
        ("علی\u200cرضا", "علیرضا"),  # the joiner shapes a word and is left out of the id
        ("שָׁלוֹם בֶּן־אָדָם", "שָׁלוֹם-בֶּן-אָדָם"),
        ("अर्जुन शर्मा", "अर्जुन-शर्मा"),
        ("क्\u200dष", "क्ष"),
        ("র\u200d্যাব", "র্যাব"),
        ("ශ්\u200dරී ලාල්", "ශ්රී-ලාල්"),
        ("സന്\u200dജയ്", "സന്ജയ്"),
        ("லட்சுமி", "லட்சுமி"),
        ("လွှို့ဝှက်", "လွှို့ဝှက်"),
        ("สมชาย ใจดี ปิ่น", "สมชาย-ใจดี-ปิ่น"),
        ("ស្រីមុំ", "ស្រីមុំ"),
        ("བསྟན་འཛིན", "བསྟན-འཛིན"),
        ("李 小龙", "李-小龙"),
        ("卡尔·马克思", "卡尔-马克思"),
        ("山田　太郎", "山田-太郎"),
        ("葛\U000e0100城", "葛城"),
        ("김민준", "김민준"),
        ("ᠮᠣᠩᠭᠣᠯ\u180eᠠ", "ᠮᠣᠩᠭᠣᠯᠠ"),
        ("ዳዊት", "ዳዊት"),
        ("გიორგი", "გიორგი"),
    ],
)
def test_an_honest_name_gives_its_id(tmp_path, desk, name, student, form):
    name, student = unicodedata.normalize(form, name), unicodedata.normalize("NFC", student)
    folder = f"{name}_311_assignsubmission_file_"
    report = run(pack(tmp_path / "a.zip", (f"{folder}/{LAB}.ipynb", notebook())), desk, "moodle")
    assert report.students == [student], report.lines()
    assert names.check_id(student) == student
    assert unicodedata.normalize("NFC", names.shown(name)) == unicodedata.normalize(
        "NFC", name
    ) or ("\u3000" in name)
    assert plain.plain(name) == name


def test_the_class_list_finds_a_name_that_is_written_otherwise(tmp_path, desk):
    """With accents apart, other blanks, or over two lines, as a spreadsheet may have it."""
    text = 'student,name\njose,"Jose\u0301\nLuis"\ntaro,山田\u3000太郎\n'
    (desk / "roster.csv").write_text(text, encoding="utf-8")
    folders = ("José\u00a0Luis_1_assignsubmission_file_", "山田 太郎_2_assignsubmission_file_")
    path = pack(tmp_path / "a.zip", *((f"{f}/{LAB}.ipynb", notebook(f)) for f in folders))
    assert run(path, desk, "moodle").students == ["jose", "taro"]


def test_emoji_are_seen_whole_and_nothing_hides_among_them():
    for text in ("❤️", "👩‍💻", "👩🏽‍🔬", "1️⃣", "‼️"):
        assert plain.plain(text) == names.shown(text) == text
    assert plain.plain("x\ufe0f = 1\u200d") == "x⟨U+FE0F⟩ = 1⟨U+200D⟩"
    assert plain.plain("\u3164 = 1") == "⟨U+3164⟩ = 1", "Python takes it for a letter of a name"


def test_marks_heaped_on_a_letter_are_bounded():
    heap = "a" + "\u0301\u0302" * 1000
    assert plain.plain(heap).count("⟨U+") == 2000 - plain.MARKS
    assert plain.plain("e\u0323\u0302") == "e\u0323\u0302"


@pytest.mark.parametrize("again", [False, True])
def test_two_people_whom_only_a_joiner_tells_apart_are_not_mixed_up(tmp_path, desk, again):
    paths = [(f"علی{joiner}رضا/{LAB}.ipynb", notebook(joiner)) for joiner in ("", "\u200c")]
    if again:
        run(pack(tmp_path / "a.zip", paths[0]), desk)
        paths = paths[1:]
    report = run(pack(tmp_path / "b.zip", *paths), desk)
    assert len(report.refused) == len(paths) and "several people" in refused_for(report)[0]
    assert list(files(desk).values()) == [notebook("")] * again


@pytest.mark.parametrize("other", ["Ada", "ADA", "ａｄａ", "аԁа"])
def test_ids_alike_but_for_case_or_look_alike_letters_are_both_refused(tmp_path, desk, other):
    path = pack(
        tmp_path / "a.zip", (f"ada/{LAB}.ipynb", notebook("1")), (f"{other}.ipynb", notebook("2"))
    )
    report = run(path, desk)
    assert len(report.refused) == 2 and "too like" in refused_for(report)[0]
    assert not files(desk)


@pytest.mark.parametrize("known", ["submitted", "roster"])
def test_whoever_looks_like_a_known_student_is_refused(tmp_path, desk, known):
    if known == "roster":
        (desk / "roster.csv").write_text("student,name\nada,Ada\n", encoding="utf-8")
    else:
        run(pack(tmp_path / "a.zip", (f"ada/{LAB}.ipynb", notebook("ada"))), desk)
    path = pack(
        tmp_path / "b.zip", (f"Ada/{LAB}.ipynb", notebook("x")), (f"alan/{LAB}.ipynb", notebook())
    )
    report = run(path, desk)
    assert report.students == ["alan"] and "too like 'ada'" in refused_for(report)[0]
    assert notebook("x") not in files(desk).values()


def test_one_name_in_two_unicode_forms_is_one_student(tmp_path, desk):
    run(pack(tmp_path / "a.zip", (f"jose\u0301/{LAB}.ipynb", notebook())), desk)
    assert files(desk) == {f"submitted/jos\u00e9/{LAB}/{LAB}.ipynb": notebook()}


def test_a_roster_that_cannot_be_read_is_one_line(tmp_path, desk):
    path = pack(tmp_path / "a.zip", (f"ada/{LAB}.ipynb", notebook()))
    for text, reason in [
        (b"name\nAda\n", "no columns student and name"),
        (b"student,name\n=x,Ada\n", "line 2: '=x' has '='"),
        (b"student,name\nada,Ada\nAda,Ada\n", "line 3: 'Ada' looks like 'ada'"),
        (b"student,name\n\xff,Ada\n", "not UTF-8"),
        (
            b'student,name\nada,"' + b"x" * 200_000 + b'"\n',
            "cannot be read after line 1: field larger",
        ),
    ]:
        (desk / "roster.csv").write_bytes(text)
        with pytest.raises(DeskError, match=reason):
            run(path, desk)


def test_text_of_a_stranger_is_harmless_on_a_terminal():
    assert names.shown("a\x1b[2Jb\u202e\n\ud800") == "a\\x1b[2Jb\\u202e\\n\\ud800"
    assert len(names.shown("x" * 500)) == 80


# --- Unsafe archives: each refusal ---------------------------------------------------------------


def only_ada(report, desk, reason):
    """One entry is refused for the reason, and ada's beside it is collected."""
    assert [reason in text for text in refused_for(report)] == [True], refused_for(report)
    assert report.students == ["ada"]
    assert files(desk) == {f"submitted/ada/{LAB}/{LAB}.ipynb": notebook("ada")}


ADA = (f"ada/{LAB}.ipynb", notebook("ada"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (f"../outside/{LAB}.ipynb", "'..'"),
        (f"eve/../../outside/{LAB}.ipynb", "'..'"),
        (f"..\\outside\\{LAB}.ipynb", "'..'"),
        (f"/etc/{LAB}.ipynb", "absolute"),
        (f"\\\\server\\share\\{LAB}.ipynb", "absolute"),
        (f"C:\\eve\\{LAB}.ipynb", "Windows drive"),
        (f"c:{LAB}.ipynb", "Windows drive"),
        (f"eve/{LAB}\u202egpj.ipynb", "reorders text"),
        (f"eve/{LAB}\u2067.ipynb", "reorders text"),
        (f"eve/{LAB}\u200b.ipynb", "invisible"),
        (f"eve/{LAB}\x1b[2J.ipynb", "invisible"),
        (f"eve/{LAB}\n.ipynb", "invisible"),
        (f"eve/{LAB}\u3164.ipynb", "invisible"),
        (f"eve/{LAB}\u034f.ipynb", "invisible"),
        (f"eve/{LAB}" + "\u0301\u0302" * 9 + ".ipynb", "heaped"),
        ("eve/" + "x" * 300 + ".ipynb", "255 bytes"),
        ("eve/" * 400 + "x.ipynb", "1024 bytes"),
        ("e/" * 20 + "x.ipynb", "folders deep"),
    ],
)
def test_an_unsafe_path_is_refused(tmp_path, desk, name, reason):
    only_ada(run(pack(tmp_path / "a.zip", (name, notebook()), ADA), desk), desk, reason)


def test_a_nul_in_a_name_is_refused(tmp_path, desk):
    path = pack(tmp_path / "a.zip", ("eve/@.ipynb", notebook()), ADA)
    path.write_bytes(path.read_bytes().replace(b"eve/@", b"eve/\0"))
    only_ada(run(path, desk), desk, "NUL")


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (stat.S_IFLNK, "symbolic link"),
        (stat.S_IFIFO, "FIFO"),
        (stat.S_IFCHR, "device"),
        (stat.S_IFBLK, "device"),
        (stat.S_IFSOCK, "socket"),
    ],
)
def test_a_link_or_device_in_a_zip_is_refused(tmp_path, desk, mode, reason):
    info = special(f"eve/{LAB}.ipynb", mode | 0o777, b"../../outside/lab01-ngram.ipynb")
    only_ada(run(pack(tmp_path / "a.zip", info, ADA), desk), desk, reason)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused_both_times(tmp_path, desk):
    eve = f"eve/{LAB}.ipynb"
    path = pack(tmp_path / "a.zip", (eve, b"1"), (eve.replace("/", "//"), b"2"), ADA)
    report = run(path, desk)
    assert refused_for(report) == ["stands 2 times in the archive: which one counts?"] * 2
    assert report.students == ["ada"]


def test_an_encrypted_entry_is_refused(tmp_path, desk):
    path = pack(tmp_path / "a.zip", (f"eve/{LAB}.ipynb", notebook()), ADA)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    only_ada(run(path, desk), desk, "encrypted")


def test_a_notebook_that_is_too_large_is_refused(tmp_path, desk, monkeypatch):
    monkeypatch.setattr(archives, "NOTEBOOK", 1000)
    path = pack(tmp_path / "a.zip", (f"eve/{LAB}.ipynb", b"x" * 1001), ADA)
    only_ada(run(path, desk), desk, "is larger than")


def test_a_notebook_larger_than_it_says_is_refused(tmp_path, desk, monkeypatch):
    monkeypatch.setattr(archives, "NOTEBOOK", 1000)
    monkeypatch.setattr(archives, "MB", 100)
    path = pack(tmp_path / "a.zip", (f"eve/{LAB}.ipynb", b"x" * 5000), ADA)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 500)
    path.write_bytes(data)
    report = run(path, desk)
    # zipfile gives no more than the size that is said, and then finds the checksum wrong.
    only_ada(report, desk, "damaged")


def test_a_zip_bomb_is_refused_by_its_ratio(tmp_path, desk):
    path = pack(tmp_path / "a.zip", (f"eve/{LAB}.ipynb", bytes(6_000_000)), ADA)
    only_ada(run(path, desk), desk, "ZIP bomb")


def test_all_notebooks_together_are_bounded(tmp_path, desk, monkeypatch):
    monkeypatch.setattr("gradedesk.intake.collect.TOTAL", len(notebook("ada")))
    path = pack(tmp_path / "a.zip", ADA, (f"eve/{LAB}.ipynb", notebook("eve")))
    only_ada(run(path, desk), desk, "comes after more than")


def test_too_many_entries_are_refused(tmp_path, desk):
    path = pack(tmp_path / "a.zip", *((f"{i}.txt", b"") for i in range(10_001)))
    with pytest.raises(DeskError, match="more than 10,000 entries"):
        run(path, desk)
    assert not files(desk)


def test_a_table_of_contents_that_fills_the_memory_is_not_read(tmp_path, desk, monkeypatch):
    monkeypatch.setattr(archives, "READ", 100_000)
    path = pack(tmp_path / "a.zip", *((f"{i}.txt", b"") for i in range(3_000)))
    with pytest.raises(DeskError, match="asks for more than"):
        run(path, desk)


def test_a_damaged_entry_is_refused(tmp_path, desk):
    eve = (f"eve/{LAB}.ipynb", b"y" * 1000)
    path = pack(tmp_path / "a.zip", eve, ADA, compress=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"yyyy", b"zzzz", 1))
    only_ada(run(path, desk), desk, "damaged")


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06", b"no archive", b"\x1f\x8b" + bytes(50)])
@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.rar"])
def test_what_is_no_archive_is_one_line(tmp_path, desk, data, name):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DeskError, match="no (ZIP|tar) archive that can be read"):
        run(tmp_path / name, desk)


def test_a_source_that_is_not_there_is_one_line(tmp_path, desk):
    with pytest.raises(DeskError, match="neither a folder nor an archive"):
        run(tmp_path / "nothing", desk)


# --- tar -----------------------------------------------------------------------------------------


def tar(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, data, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mtime = kind, len(data), 1_791_000_000
            info.linkname = f"../../outside/{LAB}.ipynb"
            archive.addfile(info, io.BytesIO(data))
    return path


TAR_ADA = (f"./ada/{LAB}.ipynb", notebook("ada"), tarfile.REGTYPE)


@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz")]
)
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "FIFO"),
        (tarfile.REGTYPE, "'..'"),
    ],
)
def test_links_devices_and_ways_out_of_a_tar_are_refused(tmp_path, desk, name, mode, kind, reason):
    eve = f"../{LAB}.ipynb" if kind == tarfile.REGTYPE else f"eve/{LAB}.ipynb"
    path = tar(tmp_path / name, (eve, b"", kind), TAR_ADA, mode=mode)
    only_ada(run(path, desk), desk, reason)


def test_a_large_notebook_in_a_tar_is_refused(tmp_path, desk, monkeypatch):
    monkeypatch.setattr(archives, "NOTEBOOK", 1000)
    path = tar(tmp_path / "a.tgz", (f"eve/{LAB}.ipynb", bytes(1001), tarfile.REGTYPE), TAR_ADA)
    only_ada(run(path, desk), desk, "is larger than")


def test_a_tar_that_unpacks_to_too_much_is_refused(tmp_path, desk, monkeypatch):
    monkeypatch.setattr(archives, "TOTAL", 2_000_000)
    path = tar(tmp_path / "a.tgz", ("eve/big.bin", bytes(3_000_000), tarfile.REGTYPE), TAR_ADA)
    with pytest.raises(DeskError, match="unpacks to more than"):
        run(path, desk)
    assert not files(desk)


# --- Folders -------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="links and FIFOs are POSIX's")


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "in"
    (source / "ada").mkdir(parents=True)
    (source / "ada" / f"{LAB}.ipynb").write_bytes(notebook("ada"))
    (source / "eve").mkdir()
    return source


@posix
def test_a_link_in_a_folder_is_not_followed(folder, desk, outside):
    (folder / "eve" / f"{LAB}.ipynb").symlink_to(outside / f"{LAB}.ipynb")
    only_ada(run(folder, desk), desk, "symbolic link")


@posix
def test_a_hard_link_in_a_folder_is_not_read_and_its_line_says_what_to_do(folder, desk, outside):
    """It may be a file that its maker cannot read: a solution, or another student's work."""
    os.link(outside / f"{LAB}.ipynb", folder / "eve" / f"{LAB}.ipynb")
    report = run(folder, desk)
    only_ada(report, desk, "is a hard link, so it may be a file of somebody else's")
    assert "collect a copy of the folder" in report.refused[0].text
    shutil.copytree(folder, folder.parent / "copy")
    assert run(folder.parent / "copy", desk).students == ["eve"]


@posix
def test_a_linked_folder_is_not_followed(folder, desk, outside):
    (folder / "mallory").symlink_to(outside, target_is_directory=True)
    only_ada(run(folder, desk), desk, "symbolic link")


@posix
def test_a_fifo_in_a_folder_is_not_opened(folder, desk):
    os.mkfifo(folder / "eve" / f"{LAB}.ipynb")
    only_ada(run(folder, desk), desk, "FIFO")


@posix
@pytest.mark.parametrize("kind", ["link", "fifo", "file"])
def test_a_file_exchanged_while_it_is_read_is_refused(folder, outside, kind):
    path = folder / "eve" / f"{LAB}.ipynb"
    path.write_bytes(notebook())
    with archives.open_source(folder) as opened:
        entry = next(e for e in opened.entries if e.parts == ("eve", path.name))
    path.rename(folder / "gone")
    if kind == "link":
        path.symlink_to(outside / path.name)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"another")
    with pytest.raises(BadName, match="exchanged|cannot be read"):
        entry.read()


def test_a_large_file_in_a_folder_is_not_read_whole(folder, desk, monkeypatch):
    monkeypatch.setattr(archives, "NOTEBOOK", 1000)
    (folder / "eve" / f"{LAB}.ipynb").write_bytes(bytes(1001))
    only_ada(run(folder, desk), desk, "is larger than")


def test_a_folder_too_deep_is_refused(folder, desk):
    (folder / "eve" / Path(*"abcdefghijk")).mkdir(parents=True)
    only_ada(run(folder, desk), desk, "deep")


# --- The desk ------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("link", ["submitted", "submitted/ada", f"submitted/ada/{LAB}"])
def test_nothing_is_written_through_a_link_on_the_desk(tmp_path, desk, outside, link):
    (desk / link).parent.mkdir(parents=True, exist_ok=True)
    (desk / link).symlink_to(outside, target_is_directory=True)
    with pytest.raises(DeskError, match="symbolic link: remove it"):
        run(pack(tmp_path / "a.zip", ADA), desk)


def test_a_full_disk_leaves_what_was_there_and_is_one_line(tmp_path, desk, monkeypatch):
    info = zipfile.ZipInfo(f"ada/{LAB}.ipynb", (2026, 10, 11, 1, 0, 0))
    run(pack(tmp_path / "a.zip", (info, notebook("old"))), desk)
    before = files(desk)
    replace = os.replace

    def full(source, target):
        if Path(target).parent.name == LAB:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DeskError, match="No space left on device.*run the same command again"):
        run(pack(tmp_path / "b.zip", ADA), desk)
    monkeypatch.undo()
    assert before.items() <= files(desk).items()
    assert run(tmp_path / "b.zip", desk).students == ["ada"]
    assert files(desk)[f"submitted/ada/{LAB}/{LAB}.ipynb"] == notebook("ada")
