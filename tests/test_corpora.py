"""tinygpt.corpora: the texts, their parts, and downloads that go wrong in every way we know.

Nothing here leaves the machine: downloads come from a server of our own on 127.0.0.1.
"""

import codecs
import contextlib
import errno
import hashlib
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tinygpt import corpora, downloads
from tinygpt.corpora import Corpus, CorpusError, corpus
from tinygpt.downloads import Download

LINES = "".join(f"Line {i} of a play, with “quotes”.\n" for i in range(20_000))
BODY = LINES.encode("utf-8")  # about 0.75 MB: a dozen chunks


class Server(ThreadingHTTPServer):
    """Serves `body`. The attributes say how it misbehaves; `ranges` and `sent` what happened."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/text.txt"
        self.body = BODY
        self.cuts = []  # for each request to come: bytes to send before the connection is cut
        self.obeys_range = True
        self.refuses_range = False  # answers 416
        self.resumes_late = False  # answers with a range that begins after the one asked for
        self.gives_length = True
        self.status = 200
        self.delay = 0  # seconds before the answer
        self.ranges = []  # the Range header of each request, None where there was none
        self.sent = []  # body bytes of each answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        time.sleep(server.delay)
        self.close_connection = True
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.obeys_range else 0
        if asked and server.resumes_late:
            start += 1
        if asked and server.refuses_range:
            self.send_error(416)
            return
        body = server.body[start:]
        self.send_response(206 if start else 200)
        if start:
            last, total = len(server.body) - 1, len(server.body)
            self.send_header("Content-Range", f"bytes {start}-{last}/{total}")
        if server.gives_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cuts:
            body = body[:server.cuts.pop(0)]
        server.sent.append(len(body))
        with contextlib.suppress(ConnectionError):  # the client may leave before the end
            self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    """A server that has the file which "shakespeare" now stands for."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "TIMEOUT", 5)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        expect(monkeypatch, server, BODY)
        yield server
        server.shutdown()
        thread.join()


def expect(monkeypatch, server, body):
    """Make `body` the right content of "shakespeare"."""
    download = Download(server.url, len(body), hashlib.sha256(body).hexdigest())
    monkeypatch.setitem(corpora.DOWNLOADS, "shakespeare", download)


def error_of(*args, **kwargs) -> str:
    """The message of the CorpusError that corpus(...) raises: always one line."""
    with pytest.raises(CorpusError) as caught:
        corpus(*args, **kwargs)
    message = str(caught.value)
    assert message and "\n" not in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return message


def whole(text: Corpus) -> str:
    return text.train + text.valid + text.test


def files(folder: Path) -> set[str]:
    """What lies in the cache, but for the lock."""
    return {path.name for path in folder.iterdir()} - {"shakespeare.lock"}


# The network as it should be


def test_a_download_is_kept_whole_under_its_name(server, tmp_path):
    text = corpus("shakespeare", cache_dir=tmp_path)
    assert whole(text) == LINES
    assert text.source == server.url
    assert files(tmp_path) == {"shakespeare.txt"}
    assert (tmp_path / "shakespeare.txt").read_bytes() == BODY
    assert server.ranges == [None]


def test_a_download_shows_its_progress(server, tmp_path, capsys):
    corpus("shakespeare", cache_dir=tmp_path)
    shown = capsys.readouterr()
    assert "shakespeare: 100%" in shown.err
    assert shown.out == ""


def test_a_cached_file_needs_no_network_and_no_second_download(server, tmp_path, capsys):
    first = corpus("shakespeare", cache_dir=tmp_path)
    capsys.readouterr()
    server.status = 500
    assert corpus("shakespeare", cache_dir=tmp_path) == first
    assert len(server.ranges) == 1
    assert capsys.readouterr().err == ""


def test_the_environment_variable_names_the_cache_folder(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYGPT_CACHE", str(tmp_path / "a" / "b"))
    corpus("shakespeare")
    assert files(tmp_path / "a" / "b") == {"shakespeare.txt"}


def test_without_it_the_platform_s_cache_folder_is_used(server, tmp_path, monkeypatch):
    monkeypatch.delenv("TINYGPT_CACHE", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: tmp_path / name)
    corpus("shakespeare")
    assert files(tmp_path / "tinygpt") == {"shakespeare.txt"}


@pytest.mark.parametrize("name", corpora.DOWNLOADS)
def test_every_download_has_an_address_a_size_and_a_hash(name):
    download = corpora.DOWNLOADS[name]
    assert download.url.startswith("https://")
    assert download.size > 1_000_000
    assert re.fullmatch("[0-9a-f]{64}", download.sha256)


def test_two_that_download_at_the_same_time_download_once(server, tmp_path):
    server.delay = 0.3
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(corpus, "shakespeare", cache_dir=tmp_path) for _ in range(2)]
        texts = [call.result() for call in calls]
    assert [whole(text) for text in texts] == [LINES, LINES]
    assert server.sent == [len(BODY)]
    assert files(tmp_path) == {"shakespeare.txt"}


# Connections that are cut


def test_a_cut_connection_is_resumed_and_only_the_rest_travels(server, tmp_path):
    server.cuts = [400_000]
    assert whole(corpus("shakespeare", cache_dir=tmp_path)) == LINES
    first, second = server.ranges
    assert first is None
    start = int(re.fullmatch(r"bytes=(\d+)-", second)[1])
    assert 400_000 - downloads.CHUNK <= start <= 400_000
    assert server.sent == [400_000, len(BODY) - start]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TRIES", 1)
    server.cuts = [400_000]
    message = error_of("shakespeare", cache_dir=tmp_path)
    assert "keeps breaking" in message and "Run this again" in message
    assert files(tmp_path) == {"shakespeare.part"}
    kept = (tmp_path / "shakespeare.part").stat().st_size
    assert BODY.startswith((tmp_path / "shakespeare.part").read_bytes()) and kept > 0

    assert whole(corpus("shakespeare", cache_dir=tmp_path)) == LINES
    assert server.ranges == [None, f"bytes={kept}-"]
    assert server.sent[1] == len(BODY) - kept
    assert files(tmp_path) == {"shakespeare.txt"}


def test_a_connection_that_always_breaks_is_given_up(server, tmp_path):
    server.cuts = [0] * 100
    assert "keeps breaking" in error_of("shakespeare", cache_dir=tmp_path)
    assert len(server.ranges) == downloads.TRIES
    assert "shakespeare.txt" not in files(tmp_path)


def test_a_server_that_ignores_ranges_starts_again_from_nothing(server, tmp_path):
    server.cuts = [400_000]
    server.obeys_range = False
    assert whole(corpus("shakespeare", cache_dir=tmp_path)) == LINES
    assert len(server.ranges) == 2 and server.ranges[1] is not None
    assert server.sent == [400_000, len(BODY)]


def test_a_part_that_is_already_whole_is_only_verified(server, tmp_path):
    (tmp_path / "shakespeare.part").write_bytes(BODY)
    assert whole(corpus("shakespeare", cache_dir=tmp_path)) == LINES
    assert server.ranges == []


@pytest.mark.parametrize("fault", ["resumes_late", "refuses_range"])
def test_a_server_that_cannot_resume_is_asked_for_the_whole(server, tmp_path, fault):
    setattr(server, fault, True)
    (tmp_path / "shakespeare.part").write_bytes(BODY[:1000])
    assert whole(corpus("shakespeare", cache_dir=tmp_path)) == LINES
    assert server.ranges == ["bytes=1000-", None]
    assert files(tmp_path) == {"shakespeare.txt"}


@pytest.mark.parametrize("part", [b"?" * 1000, BODY + b"more", b"?" * len(BODY)],
                         ids=["wrong start", "too long", "right length"])
def test_a_damaged_part_is_replaced_by_a_fresh_download(server, tmp_path, part):
    (tmp_path / "shakespeare.part").write_bytes(part)
    assert whole(corpus("shakespeare", cache_dir=tmp_path)) == LINES
    assert server.ranges[-1] is None
    assert files(tmp_path) == {"shakespeare.txt"}


# Wrong files


def test_a_wrong_hash_is_named_and_nothing_is_kept(server, tmp_path):
    server.body = BODY.replace(b"Line 7 ", b"Line 8 ")
    message = error_of("shakespeare", cache_dir=tmp_path)
    assert hashlib.sha256(BODY).hexdigest() in message
    assert hashlib.sha256(server.body).hexdigest() in message
    assert files(tmp_path) == set()
    assert server.ranges == [None]


@pytest.mark.parametrize("body", [BODY[:-5], BODY + b"more\n"], ids=["shorter", "longer"])
def test_a_file_of_another_size_is_refused_before_it_travels(server, tmp_path, body):
    server.body = body
    message = error_of("shakespeare", cache_dir=tmp_path)
    assert f"{len(body):,}" in message and f"{len(BODY):,}" in message
    assert files(tmp_path) == set()


def test_a_file_that_grew_between_two_requests_is_refused(server, tmp_path):
    (tmp_path / "shakespeare.part").write_bytes(BODY[:1000])
    server.body = BODY + b"more\n"
    assert f"{len(BODY) + 5:,} bytes" in error_of("shakespeare", cache_dir=tmp_path)
    assert files(tmp_path) == set()


def test_a_body_without_end_is_stopped_soon_after_the_expected_size(server, tmp_path):
    server.gives_length = False
    server.body = BODY * 3
    message = error_of("shakespeare", cache_dir=tmp_path)
    found = int(re.search(r"\(([\d,]+) bytes where", message)[1].replace(",", ""))
    assert len(BODY) < found <= len(BODY) + downloads.CHUNK
    assert files(tmp_path) == set()


@pytest.mark.parametrize("damaged", [BODY[:-1], BODY[:-1] + b"?"], ids=["size", "content"])
def test_a_damaged_copy_in_the_cache_is_noticed_and_replaced(server, tmp_path, damaged):
    (tmp_path / "shakespeare.txt").write_bytes(damaged)
    with pytest.warns(UserWarning, match="is damaged"):
        text = corpus("shakespeare", cache_dir=tmp_path)
    assert whole(text) == LINES
    assert (tmp_path / "shakespeare.txt").read_bytes() == BODY


# No network, no answer, no room


@pytest.mark.parametrize("status", [404, 500, 416])
def test_an_error_of_the_server_is_told_with_its_number(server, tmp_path, status):
    server.status = status
    message = error_of("shakespeare", cache_dir=tmp_path)
    assert f"answered {status}" in message and server.url in message
    assert files(tmp_path) == set()


def test_no_network_says_where_to_put_the_file_by_hand(server, tmp_path, monkeypatch):
    gone = Server()
    gone.server_close()  # nobody listens on its port any more
    expect(monkeypatch, gone, BODY)
    message = error_of("shakespeare", cache_dir=tmp_path)
    assert "no connection to 127.0.0.1" in message
    assert gone.url in message and str(tmp_path / "shakespeare.txt") in message
    assert files(tmp_path) == set()
    (tmp_path / "shakespeare.txt").write_bytes(BODY)  # as the message advises
    assert whole(corpus("shakespeare", cache_dir=tmp_path)) == LINES


def test_no_answer_in_time_is_told(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.1)
    server.delay = 0.5
    assert "did not answer within 0.1 seconds" in error_of("shakespeare", cache_dir=tmp_path)
    assert files(tmp_path) == set()


def disk_full(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_told_and_leaves_nothing(server, tmp_path, monkeypatch, call):
    monkeypatch.setattr(downloads.os, call, disk_full)
    message = error_of("shakespeare", cache_dir=tmp_path)
    assert "disk is full" in message and f"{len(BODY) / 1e6:.1f} MB" in message
    assert files(tmp_path) == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_write_that_the_kernel_refuses_for_lack_of_room_leaves_nothing(server, tmp_path):
    (tmp_path / "shakespeare.part").symlink_to("/dev/full")
    assert "disk is full" in error_of("shakespeare", cache_dir=tmp_path)
    assert files(tmp_path) == set()


def test_a_cache_folder_that_cannot_be_made_is_told(server, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    message = error_of("shakespeare", cache_dir=tmp_path / "file" / "cache")
    assert str(tmp_path / "file" / "cache") in message and "TINYGPT_CACHE" in message
    assert server.ranges == []


# A file of one's own


def written(tmp_path, data: bytes) -> Path:
    path = tmp_path / "mine.txt"
    path.write_bytes(data)
    return path


def test_a_file_is_cut_at_line_ends_into_90_5_and_5_percent(tmp_path):
    text = corpus(written(tmp_path, BODY))
    assert text.name == "mine.txt"
    assert whole(text) == LINES
    assert text.train.endswith("\n") and text.valid.endswith("\n")
    for part, share in ((text.train, 0.9), (text.valid, 0.05), (text.test, 0.05)):
        assert len(part) == pytest.approx(share * len(LINES), abs=40)  # a line has at most 36


@pytest.mark.parametrize("length", [20, 99, 100, 12_345])
def test_a_text_without_line_ends_is_cut_by_characters(tmp_path, length):
    letters = "".join(chr(0x4E00 + i % 500) for i in range(length))
    text = corpus(written(tmp_path, letters.encode("utf-8")))
    assert whole(text) == letters
    assert (len(text.train), len(text.train + text.valid)) == (length * 90 // 100,
                                                               length * 95 // 100)


def test_a_cut_that_falls_on_a_line_end_stays_there(tmp_path):
    text = corpus(written(tmp_path, b"123456789\n" * 100))
    assert (len(text.train), len(text.valid), len(text.test)) == (900, 50, 50)


def test_a_path_may_be_a_string(tmp_path, monkeypatch):
    path = written(tmp_path, BODY)
    assert whole(corpus(str(path))) == LINES
    monkeypatch.chdir(tmp_path)
    assert whole(corpus("mine.txt")) == LINES
    path.rename(tmp_path / "mine")
    assert whole(corpus("mine")) == LINES


def test_a_byte_order_mark_is_dropped(tmp_path):
    assert whole(corpus(written(tmp_path, codecs.BOM_UTF8 + BODY))) == LINES


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_line_ends_of_other_systems_become_newlines(tmp_path, line_end):
    assert whole(corpus(written(tmp_path, BODY.replace(b"\n", line_end)))) == LINES


def test_a_file_that_is_not_utf8_names_the_byte_and_the_line(tmp_path):
    data = "first\nsecond, caf\u00e9\n".encode("latin-1")
    message = error_of(written(tmp_path, data))
    assert f"offset {data.index(0xE9)} (line 2) is 0xe9" in message
    assert "mine.txt" in message and "UTF-8" in message


def test_a_character_cut_in_two_at_the_end_is_not_utf8(tmp_path):
    assert f"offset {len(BODY)} " in error_of(written(tmp_path, BODY + "é".encode()[:1]))


def test_utf16_is_recognised(tmp_path):
    assert "is UTF-16" in error_of(written(tmp_path, LINES.encode("utf-16")))


@pytest.mark.parametrize("data", [b"", b" \n\n", codecs.BOM_UTF8])
def test_an_empty_file_is_told(tmp_path, data):
    assert "is empty" in error_of(written(tmp_path, data))


def test_a_text_too_short_to_cut_is_told(tmp_path):
    assert "too few to cut" in error_of(written(tmp_path, b"one line\n"))


def test_a_folder_is_told(tmp_path):
    assert "is a folder" in error_of(tmp_path)


def test_a_file_that_does_not_exist_is_told(tmp_path):
    assert "does not exist" in error_of(tmp_path / "nothing.txt")
    assert "does not exist" in error_of("nothing.txt")


def test_an_unknown_name_lists_what_exists():
    message = error_of("storylnad")
    assert all(name in message for name in ("storyland", "pydocs", "shakespeare", "tinystories"))


def test_a_notebook_shows_the_one_line_only():
    assert CorpusError("one line")._render_traceback_() == ["one line"]


# Texts that need no network


def test_a_corpus_shows_its_sizes_and_not_its_text():
    assert repr(Corpus("x", "a" * 9000, "bb", "c", "?")) == (
        "Corpus('x': train 9,000, valid 2, test 1 characters)")


def test_pydocs_is_the_same_twice_and_long_enough_to_learn_from():
    text = corpus("pydocs")
    assert text == corpus("pydocs")
    assert len(text.train) > 200_000
    assert min(len(text.valid), len(text.test)) > 10_000


def test_pydocs_holds_every_paragraph_of_every_topic_once():
    from pydoc_data.topics import topics

    text = whole(corpus("pydocs"))
    paragraphs = text.removesuffix("\n").split("\n\n")
    assert set(paragraphs) == {paragraph for topic in topics.values()
                               for paragraph in topic.strip("\n").split("\n\n")}
    long = [paragraph for paragraph in paragraphs if len(paragraph) >= corpora.LONG]
    assert len(long) == len(set(long))


def test_storyland_is_the_same_twice_and_its_test_part_is_the_held_out_set():
    import storyland

    text = corpus("storyland", size="200kB")
    assert text == corpus("storyland", size=200_000)
    assert len(text.train) >= 200_000 and len(text.valid) >= 10_000
    assert text.test == "".join(storyland.held_out())


def test_the_parts_of_storyland_share_no_story():
    text = corpus("storyland", size="200kB")
    train, valid, test = (set(part.splitlines()) for part in (text.train, text.valid, text.test))
    assert train and valid and test
    assert train.isdisjoint(valid) and train.isdisjoint(test) and valid.isdisjoint(test)


def test_more_storyland_begins_with_the_same_stories():
    assert corpus("storyland", size="40kB").train.startswith(corpus("storyland", size=9000).train)


@pytest.mark.parametrize("size, number", [(1000, 1000), ("1MB", 1_000_000), ("1.5 MB", 1_500_000),
                                          ("200kB", 200_000), ("2G", 2_000_000_000), ("70", 70)])
def test_a_size_is_a_number_of_characters(size, number):
    assert corpora._num_characters(size) == number


@pytest.mark.parametrize("size", ["big", "", 0, -5, "1 mile", "0.1B", "MB", None])
def test_a_size_that_is_none_is_told(size):
    assert "is not a number of characters" in error_of("storyland", size=size)
