"""A model that calls: it writes a line that begins with `> `, a program answers, and it goes on.

    How many figs has Mia now?
    > look up Mia figs
    = Mia had five figs. She ate two. Tom gave her four more.
    > count five - two + four
    = seven
    seven

What a program answers is read and not learned: `transcript_row` marks it as given.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from tinygpt.model import GPT
from tinygpt.train.tune import Tokenizer, prompt, say

CALL, RESULT = "> ", "= "
Tool = Callable[[str], str]  # argument -> result; ValueError, one line, says what is wrong with it


def answer(line: str, tools: Mapping[str, Tool]) -> str:
    """The line that answers a call. Where it cannot be answered the line says why, to the model.

    What a tool returns is one line; ValueError where it is more, or where `line` is no call.
    """
    if not line.startswith(CALL):
        raise ValueError(f"a call begins with {CALL!r}, and this does not: {line!r}")
    called = line.removeprefix(CALL)
    named = [name for name in tools if called == name or called.startswith(name + " ")]
    if not named:
        return f"{RESULT}error: the tools are {', '.join(tools)}"
    name = max(named, key=len)
    try:
        result = tools[name](called.removeprefix(name).removeprefix(" "))
    except ValueError as error:
        return f"{RESULT}error: {error}"
    if "\n" in result:
        raise ValueError(f"a result is one line, and {name} gave more: {result!r}")
    return RESULT + result


def transcript_row(input: str, lines: Sequence[str], tokenizer: Tokenizer) -> Tensor:
    """(T + 1,), a row of `Pairs`: the input and what programs answered as -2 - id, given; and what
    is to be said. `lines` are said and answered in turn, the first and the last are said.

    ValueError where their number is even, or where one holds a newline.
    """
    if len(lines) % 2 == 0 or any("\n" in line for line in lines):
        raise ValueError(f"lines are said and answered in turn, one line each, not {lines}")
    pieces = [-2 - torch.tensor(tokenizer.encode(prompt(input)))]
    for i, line in enumerate(lines):
        ids = torch.tensor(tokenizer.encode(line + "\n"))
        pieces.append(-2 - ids if i % 2 else ids)
    return torch.cat(pieces)


def converse(
    model: GPT,
    tokenizer: Tokenizer,
    inputs: Sequence[str],
    reply: Callable[[int, str], str],
    *,
    most: int = 3,
    max_new_tokens: int = 40,
    **decoding,
) -> list[list[str]]:
    """The lines to each input, said and answered in turn. `reply(i, line)` answers a call in the
    conversation of input i; no more than `most` are answered: a call after these ends it.

    `decoding` are settings of `say`.
    """
    texts, lines, going = list(inputs), [[] for _ in inputs], list(range(len(inputs)))
    while going:
        said = say(model, tokenizer, [texts[i] for i in going], max_new_tokens, **decoding)
        called = []
        for i, line in zip(going, said, strict=True):
            lines[i].append(line)
            if line.startswith(CALL) and len(lines[i]) <= 2 * most:
                lines[i].append(reply(i, line))
                texts[i] += f"\n{line}\n{lines[i][-1]}"
                called.append(i)
        going = called
    return lines
