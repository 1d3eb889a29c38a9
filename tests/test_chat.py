"""tinygpt.chat: what the model reads for a conversation, and a terminal that survives Ctrl-C."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tinygpt.chat import Chat, ChatError, fitted, talk
from tinygpt.model import GPT, ModelError, preset
from tinygpt.tokenizer import CharTokenizer

ROOT = Path(__file__).resolve().parent.parent
LETTERS = "abcdefghijklmnopqrstuvwxyz|:$ "


class Letters(CharTokenizer):
    """Letters, with a mark that ends an answer."""

    end_id = LETTERS.index("$")

    def encode(self, text, special=False):
        return super().encode(text)


def template(messages):
    """As a real one: who speaks, and what; then the line where an answer begins."""
    return "".join(f"{one['role']}:{one['content']}|" for one in messages) + "assistant:"


def real(context=200):
    torch.manual_seed(0)
    model = GPT(preset("gpt2", vocab_size=len(LETTERS), context=context, num_layers=1, d_model=16))
    return SimpleNamespace(model=model.eval(), tokenizer=Letters(LETTERS), chat=template)


def reads(monkeypatch, chat):
    """What the model is given for each answer, as text."""
    seen, encode = [], chat.real.tokenizer.encode

    def noted(text, special=False):
        seen.append(text)
        return encode(text, special)

    monkeypatch.setattr(chat.real.tokenizer, "encode", noted)
    return seen


def test_the_model_reads_the_whole_conversation_each_time(monkeypatch):
    chat = Chat(real(), system="be kind", tokens=5)
    seen = reads(monkeypatch, chat)
    first = "".join(chat.answer("hello"))
    second = "".join(chat.answer("again"))
    said = f"system:be kind|user:hello|assistant:{first}|user:again|assistant:"
    assert seen == ["system:be kind|user:hello|assistant:", said]
    assert [one["content"] for one in chat.turns] == ["hello", first, "again", second]
    assert len(first) <= 5


def test_the_oldest_turns_go_first_and_the_system_s_message_never(monkeypatch):
    chat = Chat(real(context=90), system="be kind", tokens=5)
    seen = reads(monkeypatch, chat)
    for word in ("first", "second", "third", "fourth"):
        list(chat.answer(word))
    assert all(text.startswith("system:be kind|user:") for text in seen)
    assert len(seen[-1]) <= 85
    assert "first" not in seen[-1] and "fourth" in seen[-1]
    assert chat.turns[0]["role"] == "user" and chat.turns[-2]["content"] == "fourth"


def test_a_message_that_cannot_fit_is_told_and_the_conversation_stays():
    chat = Chat(real(context=60), tokens=5)
    list(chat.answer("hi"))
    before = list(chat.turns)
    with pytest.raises(ChatError, match="This message has 7. tokens with the template, and 55 fit"):
        list(chat.answer("x" * 60))
    assert chat.turns == before


def test_of_a_thousand_turns_those_that_fit_are_found_in_a_few_readings(monkeypatch):
    chat = Chat(real(context=90), tokens=5)
    seen = reads(monkeypatch, chat)
    turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}] * 500
    ids, kept = fitted(chat.real, [*turns, {"role": "user", "content": "last"}], 5)
    assert len(seen) < 15 and len(ids) <= 85
    assert kept[0]["role"] == "user" and kept[-1]["content"] == "last"
    assert len(template(turns[:2] + kept)) > 85  # one turn more would not have fitted


def test_settings_that_make_no_sense_are_told_before_the_first_question():
    with pytest.raises(ChatError, match="tokens is 200: give from 1 to 199."):
        Chat(real(), tokens=200)
    with pytest.raises(ModelError, match="temperature is -1"):
        Chat(real(), tokens=5, temperature=-1)


def test_a_stopped_answer_is_kept_as_far_as_it_came():
    chat = Chat(real(), tokens=20)
    chat.real.tokenizer.end_id = None  # it does not end by itself
    pieces = chat.answer("hello")
    came = next(pieces) + next(pieces)
    pieces.close()
    assert chat.turns[-1] == {"role": "assistant", "content": came}


def test_the_same_seed_gives_the_same_answers():
    said = ["".join(Chat(real(), tokens=9, seed=seed).answer("hello")) for seed in (1, 1, 2)]
    assert said[0] == said[1] != said[2]


def test_the_terminal_s_commands(capsys):
    chat = Chat(real(), tokens=5)
    typed = iter(["hello", "/system be brief", "/dance", "", "/reset", "hi", "/exit", "never read"])
    talk(chat, read=lambda prompt: next(typed))
    printed = capsys.readouterr().out
    assert "There is no command /dance" in printed and "Forgotten." in printed
    assert chat.first == [{"role": "system", "content": "be brief"}]
    assert [one["content"] for one in chat.turns[:1]] == ["hi"]
    assert next(typed) == "never read"


def test_the_terminal_ends_with_the_input(capsys):
    def ended(prompt):
        raise EOFError

    talk(Chat(real(), tokens=5), read=ended)
    assert "/exit ends" in capsys.readouterr().out


SLOW = """
import signal
import time
from tinygpt import chat

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" has it ignored

class Endless(chat.Chat):
    def __init__(self):
        pass
    def answer(self, text):
        while True:
            yield f"{text} "
            time.sleep(0.01)

chat.talk(Endless())
print("left by the door")
"""


def test_ctrl_c_stops_an_answer_and_not_the_program():
    """In a terminal of its own, as a person would press it."""
    leader, follower = pty.openpty()
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    program = subprocess.Popen(
        [sys.executable, "-c", SLOW], stdin=follower, stdout=follower, stderr=follower, env=env
    )
    os.close(follower)
    seen = ""

    def until(text):
        nonlocal seen
        while text not in seen:
            seen += os.read(leader, 1024).decode()
        seen = seen.partition(text)[2]

    try:
        for word in ("otters", "foxes"):
            until("> ")
            os.write(leader, f"{word}\n".encode())
            until(f"{word} {word} {word}")
            program.send_signal(signal.SIGINT)
            until("(stopped)")
        until("> ")
        os.write(leader, b"/exit\n")
        until("left by the door")
        assert program.wait() == 0
    finally:
        program.kill()
        os.close(leader)
