"""python -m tinygpt serve: a real server on a free port, asked by real clients."""

import asyncio
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import openai
import pytest
import torch
from served import PATIENCE, TOKENS, Scripted, real, template, tiny

from tinygpt import hf
from tinygpt.__main__ import main
from tinygpt.generate import generate
from tinygpt.pretrained import pretrained
from tinygpt.serve import Server, parse
from tinygpt.serve.guard import MOST_BYTES
from tinygpt.serve.worker import PLACES

ROOT = Path(__file__).resolve().parent.parent


class Watched(Server):
    """A server whose log and number of places can be waited for."""

    def __init__(self, real):
        self.lines = queue.Queue()
        super().__init__(real, log=self.lines.put)
        self.changed, counts = threading.Condition(), self.worker.counts
        moved = counts.moved

        def noted(by):
            with self.changed:
                moved(by)
                self.changed.notify_all()

        counts.moved = noted

    def until_inside(self, number):
        with self.changed:
            counts = self.worker.counts
            assert self.changed.wait_for(lambda: counts.inside == number, PATIENCE), counts.inside

    def line(self):
        return self.lines.get(timeout=PATIENCE)


@pytest.fixture(scope="module")
def server():
    with Watched(tiny()) as made:
        yield made


@pytest.fixture
def scripted():
    """Makes a server whose model writes what it is told, and releases it at the end."""
    made = []

    def make(script="the fox and the owl. "):
        model = Scripted(script)
        made.append((model, Watched(real(model)).start()))
        return made[-1]

    yield make
    for model, server in made:
        model.release()
        server.stop()


def said(text="the fox", **more):
    return {"model": "tiny", "messages": [{"role": "user", "content": text}], **more}


def ask(server, body, **more):
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=PATIENCE, **more)


def content(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def expected(server, text, tokens):
    """What generate gives at temperature 0, and how many tokens that is."""
    made = server.worker.real
    ids = torch.tensor([TOKENS.encode(template(said(text)["messages"]))])
    new = generate(made.model, ids, tokens, temperature=0, stop=TOKENS.end_id)[0].tolist()
    return TOKENS.decode(new), len(new)


def events(answer):
    lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


# Answers ------------------------------------------------------------------------------------------


def test_a_greedy_answer_is_what_generate_gives(server):
    texts = ["the fox", "an owl", "狐狸", "a " * 30]
    answers = {text: expected(server, text, 20) for text in texts}
    assert len(set(answers.values())) == len(texts)
    for text, (answer, tokens) in answers.items():
        found = ask(server, said(text, temperature=0, max_tokens=20))
        assert content(found) == answer
        usage = found.json()["usage"]
        assert usage["completion_tokens"] == tokens
        assert usage["prompt_tokens"] == len(TOKENS.encode(f"user: {text}\nassistant: "))
        assert usage["total_tokens"] == usage["prompt_tokens"] + tokens


def test_openai_s_client_reads_the_whole_and_the_stream(server):
    asked = said(temperature=0, max_tokens=12)
    with client(server) as api:
        assert [one.id for one in api.models.list()] == ["tiny"]
        assert api.models.retrieve("tiny").owned_by == "tinygpt"
        whole = api.chat.completions.create(**asked)
        stream = list(
            api.chat.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}
            )
        )
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage.completion_tokens == 12
    assert stream[0].choices[0].delta.role == "assistant"
    text = "".join(one.choices[0].delta.content or "" for one in stream if one.choices)
    assert text == whole.choices[0].message.content == expected(server, "the fox", 12)[0]
    assert stream[-2].choices[0].finish_reason == "length"
    assert stream[-1].choices == [] and stream[-1].usage == whole.usage
    assert len({one.id for one in stream}) == 1 and stream[0].id != whole.id


def test_a_seed_repeats_an_answer_streamed_or_not_and_none_does_not(server):
    def text(**more):
        return content(ask(server, said(max_tokens=30, **more)))

    assert text(seed=1) == text(seed=1) != text(seed=2)
    assert text() != text()
    with httpx.stream(
        "POST",
        f"{server.url}/v1/chat/completions",
        json=said(max_tokens=30, seed=1, stream=True),
        timeout=PATIENCE,
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer)
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in found) == text(seed=1)


def test_settings_of_the_draw_are_heeded(server):
    greedy = expected(server, "the fox", 20)[0]
    assert content(ask(server, said(max_tokens=20, seed=1))) != greedy
    assert content(ask(server, said(max_tokens=20, seed=1, top_p=1e-9))) == greedy
    drawn = content(ask(server, said(max_completion_tokens=20, temperature=0)))
    assert drawn == greedy
    other = ask(server, said(max_tokens=20, temperature=0, repetition_penalty=5.0))
    assert content(other) != greedy


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("stop", ["x and the ow", ["nothing", "x and the ow"]], ids=str)
def test_an_answer_ends_before_a_stop_string_that_lies_across_tokens(scripted, stop, stream):
    model, server = scripted("the fox and the owl sat. ")
    assert len(TOKENS.encode("x and the ow")) > 2
    body = said(stop=stop, stream=stream, max_tokens=50)
    if not stream:
        answer = ask(server, body).json()
        assert answer["choices"][0]["message"]["content"] == "the fo"
        assert answer["choices"][0]["finish_reason"] == "stop"
        return
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body) as answer:
        found = [one["choices"][0] for one in events(answer)]
    assert "".join(one["delta"].get("content", "") for one in found) == "the fo"
    assert [one["finish_reason"] for one in found if one["finish_reason"]] == ["stop"]


def test_a_character_that_is_cut_between_tokens_is_sent_whole(scripted):
    text = "é漢🦊🇨🇳"
    _, server = scripted(text)
    tokens = len(TOKENS.encode(text))
    assert tokens > len(text)
    body = said(stream=True, max_tokens=tokens)
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body) as answer:
        pieces = [one["choices"][0]["delta"].get("content", "") for one in events(answer)]
    assert "".join(pieces) == text and not any("\ufffd" in piece for piece in pieces)
    assert sum(map(bool, pieces)) > 2


def test_the_end_of_the_text_is_no_part_of_the_answer(scripted):
    model, server = scripted()
    model.script = [*TOKENS.encode("the owl"), TOKENS.end_id]
    answer = ask(server, said(max_tokens=50)).json()
    assert answer["choices"][0]["message"]["content"] == "the owl"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == len(model.script)


def test_a_conversation_that_is_too_long_loses_its_oldest_turns_and_says_how_many(server):
    turns = [{"role": "system", "content": "be kind"}]
    for i in range(40):
        turns += [{"role": "user", "content": f"the fox {i}"}]
        turns += [{"role": "assistant", "content": "the owl"}]
    turns += [{"role": "user", "content": "and?"}]
    answer = ask(server, {"model": "tiny", "messages": turns, "max_tokens": 10}).json()
    dropped = answer["dropped_messages"]
    assert dropped % 2 == 0 and 0 < dropped < 80

    def tokens(kept):
        return len(TOKENS.encode(template(turns[:1] + kept)))

    assert answer["usage"]["prompt_tokens"] == tokens(turns[1 + dropped :]) <= 390
    assert tokens(turns[1 + dropped - 2 :]) > 390  # and no more than needed
    assert ask(server, said()).json()["dropped_messages"] == 0


LATE = [*said()["messages"], {"role": "system", "content": ""}]


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "param", "words"),
    [
        ({"model": None}, 400, "model", "model is missing: give 'tiny'"),
        ({"model": 3}, 400, "model", "model is 3"),
        ({"model": "gpt-9"}, 404, "model", 'no model "gpt-9"'),
        ({"messages": None}, 400, "messages", "messages must be a list"),
        ({"messages": []}, 400, "messages", "messages must be a list"),
        ({"messages": ["Hi"]}, 400, "messages[0]", "a role and a content"),
        ({"messages": [{"role": "user"}]}, 400, "messages[0]", "a role and a content"),
        ({"messages": [{"role": "tool", "content": ""}]}, 400, "messages[0].role", '"tool"'),
        ({"messages": [{"role": "user", "content": 1}]}, 400, "messages[0].content", "give a text"),
        ({"messages": [{"role": "assistant", "content": ""}]}, 400, "messages", "be the user's"),
        ({"messages": LATE}, 400, "messages[1].role", "only the first may be the system's"),
        ({"messages": said("a" * 2000)["messages"]}, 400, "messages", "shorten it"),
        ({"max_tokens": 0}, 400, "max_tokens", "a whole number from 1 to 200"),
        ({"max_tokens": 201}, 400, "max_tokens", "a whole number from 1 to 200"),
        ({"max_tokens": True}, 400, "max_tokens", "max_tokens is true"),
        ({"max_tokens": 1.5}, 400, "max_tokens", "max_tokens is 1.5"),
        ({"max_completion_tokens": -1}, 400, "max_completion_tokens", "is -1"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, 400, "max_tokens", "differ"),
        ({"temperature": -1}, 400, "temperature", "a number from 0 to 2"),
        ({"temperature": "warm"}, 400, "temperature", 'temperature is "warm"'),
        ({"top_p": 0}, 400, "top_p", "more than 0"),
        ({"top_p": 1.1}, 400, "top_p", "at most 1"),
        ({"repetition_penalty": 0}, 400, "repetition_penalty", "from 0.1 to 10"),
        ({"stop": ""}, 400, "stop", "none of them empty"),
        ({"stop": ["a"] * 5}, 400, "stop", "up to 4"),
        ({"seed": -1}, 400, "seed", "a whole number"),
        ({"seed": 2**64}, 400, "seed", "a whole number"),
        ({"stream": "yes"}, 400, "stream", "true or false"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options", "stream: true only"),
        (
            {"stream": True, "stream_options": {"include_usage": 1}},
            400,
            "stream_options.include_usage",
            "true or false",
        ),
        ({"n": 2}, 400, "n", "n is 2: give 1, only"),
        ({"tools": [{}]}, 400, "tools", "tools"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format", "json_object"),
        ({"temprature": 0}, 400, "temprature", 'There is no field "temprature" here'),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_bad_field_is_named(server, change, status, param, words):
    answer = ask(server, said() | change)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert words in error["message"] and "\n" not in error["message"]
    assert error["param"] == param
    assert error["type"] == ("not_found_error" if status == 404 else "invalid_request_error")


def test_fields_that_change_nothing_are_taken(server):
    more = {"n": 1, "user": "me", "metadata": {}, "logprobs": False, "stop": None, "seed": None}
    assert ask(server, said(max_tokens=1, presence_penalty=0.0, **more)).status_code == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "cannot be read as JSON"),
        (b'{"model": "tiny"', "cannot be read as JSON"),
        (b"[" * 200_000, "cannot be read as JSON"),
        (b'{"temperature": NaN}', "NaN is no JSON"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "cannot be read as JSON"),
        (b'{"model": "\xff"}', "not UTF-8"),
        (b"[]", "must be an object"),
        (
            b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}',
            "messages[0].content",
        ),
        (b'{"model": "\\ud800"}', "model is"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else "",
)
def test_what_is_no_request_is_refused_and_the_server_lives(server, body, words):
    answer = httpx.post(
        f"{server.url}/v1/chat/completions",
        content=body,
        headers={"Content-Type": "application/json"},
        timeout=PATIENCE,
    )
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok", "model": "tiny"}


def test_openai_s_client_raises_its_own_errors(server):
    with client(server) as api:
        with pytest.raises(openai.BadRequestError) as bad:
            api.chat.completions.create(**said(temperature=3))
        assert bad.value.param == "temperature"
        with pytest.raises(openai.NotFoundError) as missing:
            api.chat.completions.create(**said() | {"model": "gpt-9"})
        assert missing.value.code == "model_not_found"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_not_read_to_its_end(server, chunked):
    sent = []

    def parts():
        for _ in range(4096):  # 256 MiB
            sent.append(65536)
            yield b" " * 65536

    large = json.dumps(said("a" * MOST_BYTES)).encode()
    answer = httpx.post(
        f"{server.url}/v1/chat/completions",
        content=parts() if chunked else large,
        headers={"Content-Type": "application/json"},
        timeout=PATIENCE,
    )
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"
    assert sum(sent) < 64 * 1024 * 1024


def test_other_addresses_methods_and_types_get_an_error_in_json(server):
    paths = f"{server.url}/v1/chat/completions"
    assert httpx.post(paths, content=b"{}").status_code == 415
    assert httpx.post(paths, data={"a": "b"}).status_code == 415
    wrong = httpx.get(paths)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    nothing = httpx.get(f"{server.url}/v1/poems")
    assert nothing.status_code == 404
    for answer in (wrong, nothing, httpx.get(f"{server.url}/v1/models/gpt-9")):
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_page_of_another_site_is_refused_by_its_origin_and_by_its_name(server):
    port = server.url.rpartition(":")[2]
    for headers, status in (
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Host": f"evil.example:{port}"}, 403),
        ({"Host": f"127.0.0.1.evil.example:{port}"}, 403),
        ({"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}, 403),
        ({"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}, 200),
        ({"Origin": server.url}, 200),
        ({}, 200),
    ):
        assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == status, headers
        found = ask(server, said(max_tokens=1), headers=headers)
        assert found.status_code == status, headers


def test_it_listens_on_the_loopback_only(server):
    assert server.url.startswith("http://127.0.0.1:")
    assert server._socket.getsockname()[0] == "127.0.0.1"


def test_a_short_answer_waits_for_no_acknowledgement(server):
    """With Nagle's algorithm on, its last packet does, 40 ms."""
    with httpx.Client(base_url=server.url) as client:  # its connection stays while it is looked at
        client.get("/v1/models")
        (connection,) = server._uvicorn.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_fault_of_the_model_ends_one_answer_and_is_logged_without_the_text(scripted, capsys):
    model, server = scripted()
    model.script = ["a secret"]  # no index: an error that speaks of it
    answer = ask(server, said("a secret"))
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    model.script = TOKENS.encode("the owl")
    assert content(ask(server, said(max_tokens=len(model.script)))) == "the owl"
    printed = capsys.readouterr().err
    assert "in forward" in printed and "secret" not in printed


# Many clients -------------------------------------------------------------------------------------


def test_of_fifty_at_once_each_has_its_own_answer_or_is_sent_away(server):
    texts = [f"the fox {i}" for i in range(50)]

    async def all_of_them():
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE, limits=limits) as http:
            bodies = [said(text, temperature=0, max_tokens=12) for text in texts]
            posts = (http.post("/v1/chat/completions", json=body) for body in bodies)
            return await asyncio.gather(*posts)

    answers = asyncio.run(all_of_them())
    assert {answer.status_code for answer in answers} <= {200, 429}
    whole = {t: content(a) for t, a in zip(texts, answers, strict=True) if a.status_code == 200}
    assert len(whole) >= PLACES
    assert whole == {text: expected(server, text, 12)[0] for text in whole}
    assert len(set(whole.values())) > 5
    server.until_inside(0)


def held(server, model, number):
    """So many requests, the first of them in the model, which waits; their futures."""
    model.hold()
    answers = [queue.Queue() for _ in range(number)]

    def one(i):
        answers[i].put(ask(server, said(max_tokens=3)))

    for i in range(number):
        threading.Thread(target=one, args=(i,), daemon=True).start()
        server.until_inside(i + 1)
    model.passes.get(timeout=PATIENCE)
    return [answer.get for answer in answers]


def test_where_the_queue_is_full_one_is_told_when_to_come_again(scripted):
    model, server = scripted()
    waiting = held(server, model, PLACES)
    for stream in (False, True):
        refused = ask(server, said(stream=stream))
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
    model.release()
    assert {get(timeout=PATIENCE).status_code for get in waiting} == {200}
    server.until_inside(0)
    assert ask(server, said(max_tokens=1)).status_code == 200


def raw(server, body):
    """A request as bytes over a socket, which the test may close or leave unread."""
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
    made.settimeout(PATIENCE)
    made.sendall(head.encode() + data)
    return made


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_away_while_it_is_answered_frees_the_model(scripted, stream):
    model, server = scripted()
    model.hold()
    gone = raw(server, said(max_tokens=150, stream=stream))
    model.passes.get(timeout=PATIENCE)
    gone.close()
    assert "499" in server.line()  # the server has heard of it while the model was in a pass
    model.release()
    server.until_inside(0)
    assert model.passes.empty()  # it wrote no further token
    assert ask(server, said(max_tokens=1)).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_away_while_it_waits_frees_its_place_at_once(scripted, stream):
    model, server = scripted()
    (first,) = held(server, model, 1)
    gone = raw(server, said(stream=stream))
    server.until_inside(2)
    gone.close()
    server.until_inside(1)
    assert "499" in server.line() and model.passes.empty()
    model.release()
    assert first(timeout=PATIENCE).status_code == 200


def test_who_reads_slowly_keeps_nobody_waiting_and_loses_nothing(scripted):
    _, server = scripted()
    server._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # those it accepts, too
    slow = raw(server, said(max_tokens=200, stream=True))
    server.until_inside(1)
    for _ in range(3):
        assert ask(server, said(max_tokens=2)).status_code == 200
    server.until_inside(0)  # the model is done with the slow one
    got = b""
    while b"[DONE]" not in got:
        got += slow.recv(4096)
    slow.close()
    assert got.count(b"chat.completion.chunk") > 100


def test_who_waits_when_it_stops_is_told(scripted):
    model, server = scripted()
    waiting = held(server, model, 4)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert [get(timeout=PATIENCE).status_code for get in waiting[1:]] == [503] * 3
    model.release()
    last = waiting[0](timeout=PATIENCE)
    assert last.status_code == 503 and last.json()["error"]["code"] == "stopping"
    stopping.join(PATIENCE)
    assert not stopping.is_alive() and not server.worker._thread.is_alive()


def test_a_stream_that_is_stopped_ends_with_an_error(scripted):
    model, server = scripted()
    model.hold(after=3)
    body = said(stream=True, max_tokens=150)
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body) as answer:
        for _ in range(3 + 1):
            model.passes.get(timeout=PATIENCE)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        worker = server.worker
        with worker._changed:
            assert worker._changed.wait_for(lambda: worker.stopping, PATIENCE)
        model.release()
        found = events(answer)
    stopping.join(PATIENCE)
    assert found[-1]["error"]["code"] == "stopping"
    assert len([one for one in found if "choices" in one]) <= 1 + 4
    assert not any(one["choices"][0]["finish_reason"] for one in found if "choices" in one)


# Counts, log, page --------------------------------------------------------------------------------


def test_the_counts_are_those_of_the_answers():
    with Watched(tiny()) as server:
        read = written = 0
        for text in ("the fox", "an owl"):
            usage = ask(server, said(text, max_tokens=7)).json()["usage"]
            read, written = read + usage["prompt_tokens"], written + usage["completion_tokens"]
        ask(server, said(temperature=9))
        counts = parse(httpx.get(f"{server.url}/metrics").text)
    assert counts['requests_total{status="200"}'] == 2
    assert counts['requests_total{status="400"}'] == 1
    assert (counts["prompt_tokens_total"], counts["completion_tokens_total"]) == (read, written)
    assert counts["requests_inside"] == 0 < counts["inside_seconds_total"]
    seconds = counts["model_seconds_total"]
    assert counts["tokens_per_second"] == pytest.approx(written / seconds, rel=0.1)


def test_the_log_has_a_line_a_request_and_no_word_of_it(scripted):
    _, server = scripted("a secret ")
    url = server.url
    ask(server, said("my secret", stop=["secret!"], user="secret", max_tokens=4))
    ask(server, said("my secret", secret="secret"))
    httpx.get(f"{url}/secret?secret=secret", headers={"User-Agent": "secret"})
    httpx.get(f"{url}/v1/models/secret")
    httpx.request("SECRET", f"{url}/health")
    lines = [server.line() for _ in range(5)]
    assert server.lines.empty()
    assert not any("secret" in line.lower() for line in lines)
    assert [int(re.search(r" (\d{3}) ", line)[1]) for line in lines] == [200, 400, 404, 404, 405]
    words = r"\S+ POST /v1/chat/completions 200 total=[\d.]+s id=chatcmpl-\w+ in=\d+ out=4 "
    assert re.fullmatch(words + r"waited=[\d.]+s first=[\d.]+s finish=length", lines[0])


def test_the_chat_page_is_one_file_that_may_load_nothing_else(server):
    answer = httpx.get(server.url)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert policy.count("sha256-") == 2
    assert not re.search(r"(src|href)=\"(?!data:,)", answer.text)
    assert "innerHTML" not in answer.text


# The command --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Hugging Face folder with a chat template."""
    made = tmp_path_factory.mktemp("models") / "tiny"
    hf.save(tiny().model, TOKENS, made)
    (made / "chat_template.jinja").write_text(
        "{% for one in messages %}{{ one.role }}: {{ one.content }}\n{% endfor %}assistant: "
    )
    return made


def test_the_command_serves_a_folder_until_ctrl_c(folder):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tinygpt", "serve", "--model", str(folder), "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=env, **pipes) as program:
        try:
            url = re.search(r"http://[\d.:]+", program.stdout.readline())[0]
            with openai.OpenAI(base_url=f"{url}/v1", api_key="none") as api:
                answer = api.chat.completions.create(**said(max_tokens=3))
            assert answer.usage.completion_tokens == 3
            program.send_signal(signal.SIGINT)
            printed, logged = program.communicate()
            assert program.returncode == 0 and printed == ""
            assert len(logged.splitlines()) == 1 and "/v1/chat/completions 200" in logged
        finally:
            program.kill()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--port", "TAKEN"], "cannot be had"),
        (["--port", "70000"], "port is 70000: give a number from 0"),
        (["--port", "http"], "invalid int value"),
    ],
    ids=str,
)
def test_a_port_that_cannot_be_had_gets_one_line(folder, capsys, more, words):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        more = [port if word == "TAKEN" else word for word in more]
        assert main(["serve", "--model", str(folder), *more]) == 2
    printed = capsys.readouterr().err
    assert words in printed and printed.count("\n") == 1


def test_a_model_without_a_template_gets_one_line(folder, tmp_path, capsys):
    hf.save(tiny().model, TOKENS, tmp_path / "bare")
    assert main(["serve", "--model", str(tmp_path / "bare")]) == 2
    assert "has no chat template: it was not trained to chat." in capsys.readouterr().err


@pytest.mark.models
def test_smollm2_answers_openai_s_client():
    made = pretrained("smollm2-135m-instruct")
    question = [{"role": "user", "content": "What is the capital of France?"}]
    with Server(made, log=lambda line: None) as server, client(server) as api:
        answer = api.chat.completions.create(
            model=made.name, messages=question, temperature=0, max_tokens=20
        )
    assert answer.choices[0].message.content == "The capital of France is Paris."
    assert answer.choices[0].finish_reason == "stop"
    ids = made.tokenizer.encode(made.chat(question), special=True)
    assert answer.usage.prompt_tokens == len(ids)
