"""Plan a run, train a model, sample from it, evaluate it, export it; talk to one that chats.

    python -m tinygpt plan --preset story-laptop
    python -m tinygpt train --preset story-laptop --out runs/first
    python -m tinygpt sample --run runs/first --prompt "Once upon a time"
    python -m tinygpt chat
    python -m tinygpt serve
    python -m tinygpt evaluate --run runs/first
    python -m tinygpt export --run gpt --to runs/gpt-hf

Each of them takes --help.
"""

import argparse
import math
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from tinygpt import corpora, data, options, parallel, records
from tinygpt import plan as planning
from tinygpt import train as training
from tinygpt.errors import PlainError
from tinygpt.model import GPT, GPTConfig
from tinygpt.options import UsageError
from tinygpt.plan import Machine
from tinygpt.tokenizer import BPETokenizer, CharTokenizer
from tinygpt.train import TrainConfig

NAME = "python -m tinygpt"


def main(args: list[str]) -> int:
    """Do what `args` say; the exit status."""
    if not args or args[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if args else 2
    commands = {"plan": plan, "train": train, "sample": sample, "chat": chat, "serve": serve}
    commands |= {"evaluate": evaluate, "export": export}
    try:
        if args[0] not in commands:
            raise UsageError(f"There is no command {args[0]!r}: choose {', '.join(commands)}.")
        if args[0] in ("plan", "train"):
            commands[args[0]](args[1:])
        else:
            options.call(commands[args[0]], f"{NAME} {args[0]}", args[1:])
    except PlainError as mistake:
        print(mistake, file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(stopped, file=sys.stderr)
        return 130
    return 0


def train(args: list[str]) -> None:
    """Take the numbers of a preset, or of the run to go on with, then those that were typed."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--preset", default="story-laptop")
    first.add_argument("--resume", action="store_true")
    first.add_argument("--out", type=Path, default=TrainConfig.out)
    try:
        typed, _ = first.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise UsageError(f"{error}. See {NAME} train --help.") from None
    begun = typed.out / "config.json"
    if typed.resume and begun.exists():
        config = TrainConfig.read(begun)
    else:
        config = training.configure(typed.preset)
    about = "Train a model: make a run, with checkpoints and a record in a folder."
    config, _ = typed_config("train", about, typed.preset, config, args)
    command = shlex.join([*NAME.split(), "train", *args])
    record = training.train(config, command=command)
    for name, value in record.get("figures", {}).items():
        print(f"{name:20}{value:>14,}")


def plan(args: list[str]) -> None:
    """Take what `train` takes, and say what it would take."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--preset", default="story-laptop")
    try:
        typed, _ = first.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise UsageError(f"{error}. See {NAME} plan --help.") from None
    config = training.configure(typed.preset)
    about = (
        "Say what a run would take, before it starts: operations, memory, time; with --watts and\n"
        "--price also energy and cost. It takes what train takes. Without --flops it times a few\n"
        "steps of the model on this machine's processor."
    )
    config, machine = typed_config("plan", about, typed.preset, config, args, Machine())
    print(planning.said(typed.preset, planning.plan(config, machine), machine))


def typed_config(
    command: str,
    about: str,
    preset: str,
    config: TrainConfig,
    args: list[str],
    machine: Machine | None = None,
) -> tuple[TrainConfig, Machine | None]:
    """A configuration, and a machine where there is one, with whatever was typed in its place."""
    presets = f"Presets: {', '.join(training.PRESETS)}."
    parser = options.Parser(f"{NAME} {command}", f"{about}\n\n{presets}")
    options.add(parser, "preset", str, preset, "numbers to begin with: see above")
    if machine is not None:
        options.add_fields(parser.add_argument_group("What computes"), machine)
    options.add_fields(parser, config)
    chosen = vars(parser.parse_args(args))

    def of(kind: type, *but: str) -> dict:
        return {f.name: chosen[f.name] for f in fields(kind) if f.name not in but}

    made = TrainConfig(**of(TrainConfig, "model"), model=GPTConfig(**of(GPTConfig)))
    return made, None if machine is None else Machine(**of(Machine))


def sample(
    run: str,
    prompt: str = "",
    tokens: int = 200,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    checkpoint: Literal["best", "last"] = "best",
    device: str | None = None,
) -> None:
    """Print how a trained model goes on with a prompt.

    Args:
        run: folder of a run, or name of a recorded one
        prompt: what the text begins with
        tokens: how many tokens to add; a story ends earlier at its end
        temperature: below 1 the probable is more probable; 0 takes the most probable
        top_k: draw from so many most probable tokens only
        top_p: draw from the most probable tokens that have this probability together
        min_p: leave out what is less probable than this share of the most probable
        repetition_penalty: more than 1 makes less probable what the text holds already
        seed: another one gives another text
        checkpoint: the one that predicts best, or the last
        device: cpu, cuda or mps; None: the fastest that is there
    """
    opened = open_run(run, checkpoint)
    model = opened.model.to(parallel.find_device(device))
    settings = {"tokens": tokens, "temperature": temperature, "seed": seed}
    settings |= {"top_k": top_k, "top_p": top_p, "min_p": min_p}
    settings["repetition_penalty"] = repetition_penalty
    text = training.sample(model, opened.tokenizer, prompt, **settings, stop=opened.lines)
    print(text.removesuffix("\n"))


def chat(
    model: str = "smollm2-135m-instruct",
    system: str | None = None,
    tokens: int = 400,
    temperature: float = 0.7,
    top_p: float | None = 0.9,
    repetition_penalty: float = 1.1,
    seed: int = 0,
    int8: bool = True,
) -> None:
    """Talk to a chat model in the terminal.

    Args:
        model: a published one (make models fetches it), or the path of a Hugging Face folder
        system: what the model is told first; none: what its template says
        tokens: the most that an answer may have
        temperature: below 1 the probable is more probable; 0 takes the most probable
        top_p: draw from the most probable tokens that have this probability together
        repetition_penalty: more than 1 makes less probable what the text holds already
        seed: another one gives other answers
        int8: weights in 8 bits, which write faster
    """
    from tinygpt.chat import Chat, talk

    decoding = {"temperature": temperature, "top_p": top_p}
    decoding["repetition_penalty"] = repetition_penalty
    talk(Chat(chat_model(model, int8), system=system, tokens=tokens, seed=seed, **decoding))


def serve(model: str = "smollm2-135m-instruct", port: int = 8000, int8: bool = True) -> None:
    """Answer programs, and a page to chat, on this machine.

    Args:
        model: a published one (make models fetches it), or the path of a Hugging Face folder
        port: of 127.0.0.1; 0 takes one that is free
        int8: weights in 8 bits, which write faster
    """
    from tinygpt.serve import Server

    server = Server(chat_model(model, int8), port)
    print(f"Chat at {server.url}, OpenAI's clients at {server.url}/v1. Ctrl-C ends.", flush=True)
    server.run()


def chat_model(name: str, int8: bool):
    """A model that was trained to chat, with its tokenizer and template."""
    from tinygpt.model.quantise import quantise
    from tinygpt.pretrained import pretrained

    real = pretrained(name)
    if getattr(real, "template", None) is None:
        raise UsageError(f"{name} has no chat template: it was not trained to chat.")
    return replace(real, model=quantise(real.model)) if int8 else real


def evaluate(
    run: str,
    part: Literal["test", "valid", "valid+test"] = "test",
    checkpoint: Literal["best", "last"] = "best",
    device: str | None = None,
) -> None:
    """Print what a trained model scores on text that it was not trained on.

    Args:
        run: folder of a run, or name of a recorded one
        part: of the corpus; Storyland's test part are the held-out stories
        checkpoint: the one that predicts best, or the last
        device: cpu, cuda or mps; None: the fastest that is there
    """
    opened = open_run(run, checkpoint)
    model = opened.model.to(parallel.find_device(device))
    parts = [opened.texts(name) for name in part.split("+")]
    if not model.config.causal:
        for texts, name in zip(parts, part.split("+"), strict=True):
            bits, found = training.masked_bits(model, texts)
            print(f"bits a hidden token {bits:.4f}   ({opened.corpus}, {name})")
            print(f"of them found       {found:.1%}")
        return
    scores = [training.bits_per_char(model, texts) * texts.num_chars for texts in parts]
    tokens = sum(len(nats) for texts in parts for nats in [texts.ids[1:]])
    chars = sum(texts.num_chars for texts in parts)
    bits, floor = sum(scores) / chars, corpora.floor(opened.corpus)
    print(f"bits a character    {bits:.4f}   ({chars:,} characters of {opened.corpus}, {part})")
    print(f"nats a token        {bits * math.log(2) * chars / tokens:.4f}   ({tokens:,} tokens)")
    if floor and part == "test":
        print(f"floor               {floor:.4f}   (the model is {bits / floor - 1:.1%} above it)")


def export(run: str, to: Path, checkpoint: Literal["best", "last"] = "best") -> None:
    """Write a trained model as a folder that Hugging Face `transformers` reads.

    Args:
        run: folder of a run, or name of a recorded one
        to: the folder to make, new or empty
        checkpoint: the one that predicts best, or the last
    """
    from tinygpt import hf

    opened = open_run(run, checkpoint)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} holds something already: give a folder that is new, or empty.")
    hf.save(opened.model, opened.tokenizer, to)
    kind = "CausalLM" if opened.model.config.causal else "MaskedLM"
    print(f"{to}: AutoModelFor{kind}.from_pretrained({str(to)!r}) reads it.")


@dataclass
class Opened:
    """A trained model and what belongs to it."""

    model: GPT
    tokenizer: BPETokenizer | CharTokenizer
    corpus: str
    lines: bool  # whether a text is a line
    texts: Callable[[str], data.Texts]  # of the part called so


def open_run(run: str, which: str) -> Opened:
    """The run in a folder, or else the recorded run of that name."""
    folder = Path(run)
    if (folder / "config.json").exists():
        model, tokenizer, config, about = training.load(folder, which)
        return Opened(
            model,
            tokenizer,
            config.corpus,
            config.rows != "windows",
            lambda part: getattr(text_of(config, folder, about), part),
        )
    if not (records.FOLDER / run / "weights.safetensors").exists():
        known = sorted(path.parent.name for path in records.FOLDER.glob("*/weights.safetensors"))
        raise UsageError(
            f"There is no run in {run!r}, and no recorded one of that name: give the --out of a "
            f"run, or one of {', '.join(known)}."
        )
    model, _ = records.load(run)
    text = corpora.corpus("storyland", size="1MB")
    tokenizer = BPETokenizer.train(text.train, model.config.vocab_size)  # the course's

    def texts(part: str) -> data.Texts:
        return data.texts(getattr(text, part).splitlines(keepends=True), tokenizer)

    return Opened(model, tokenizer, "storyland", True, texts)


def text_of(config: TrainConfig, folder: Path, about: dict) -> training.Prepared:
    """The text of a run, which must be that which its checkpoint was trained on."""
    texts = training.prepare(config)
    texts.check(folder, about)
    return texts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
