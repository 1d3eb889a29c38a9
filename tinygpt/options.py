"""Options of a command, read off a function or a dataclass, by argparse."""

import argparse
import ast
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from types import NoneType
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from tinygpt.errors import PlainError


class UsageError(PlainError, ValueError):
    """What was typed cannot be understood. The message is one line."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError, takes no abbreviation, and keeps lines apart."""

    def __init__(self, prog: str, about: str):
        super().__init__(
            prog,
            usage=f"{prog} [options]",
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.rstrip('.')}. See {self.prog} --help.")


def call(function: Callable, prog: str, args: list[str]) -> Any:
    """The function called with what was typed: an option for each of its parameters.

    The help of an option is what the docstring says of it under "Args:".
    """
    about, _, lines = inspect.getdoc(function).partition("\n\nArgs:\n")
    said = dict(re.findall(r"^ *(\w+): (.*)$", lines, re.MULTILINE))
    parser, kinds = Parser(prog, about), get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        needed = parameter.default is parameter.empty
        add(parser, name, kinds[name], None if needed else parameter.default, said[name], needed)
    return function(**vars(parser.parse_args(args)))


def add_fields(parser: argparse._ActionsContainer, value: Any) -> None:
    """An option for each field of a dataclass, and of those in it; the defaults are `value`'s.

    The help of an option is the comment beside the field, or above it.
    """
    kinds, said = get_type_hints(type(value)), comments(type(value))
    for field in fields(value):
        default = getattr(value, field.name)
        if is_dataclass(default):
            add_fields(parser.add_argument_group(said[field.name]), default)
        else:
            add(parser, field.name, kinds[field.name], default, said[field.name])


def add(
    parser: argparse._ActionsContainer,
    name: str,
    kind: Any,
    default: Any,
    said: str,
    needed: bool = False,
) -> None:
    """An option of one type: str, int, float, Path, bool or Literal, or one of these or None."""
    optional = NoneType in get_args(kind)
    if optional:
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    shown = "none" if default is None else repr(default) if default == "" else default
    said = said.replace("%", "%%") + (" (needed)" if needed else f" (default: {shown})")
    more: dict[str, Any] = {"default": default, "required": needed, "help": said}
    if kind is bool:
        more["action"] = argparse.BooleanOptionalAction
    elif get_origin(kind) is Literal:
        more["choices"] = get_args(kind)
        more["metavar"] = "{" + ",".join(get_args(kind)) + "}"
    else:
        more["type"] = _or_none(kind) if optional else kind
        more["metavar"] = kind.__name__.upper() + ("|none" if optional else "")
    parser.add_argument("--" + name.replace("_", "-"), dest=name, **more)


def _or_none(kind: type) -> Callable[[str], Any]:
    def read(typed: str) -> Any:
        return None if typed.lower() == "none" else kind(typed)

    read.__name__ = kind.__name__  # argparse names it where the text does not fit
    return read


def comments(kind: type) -> dict[str, str]:
    """What the comment beside each field of a dataclass says, or else those above it."""
    source = textwrap.dedent(inspect.getsource(kind))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    beside = {
        one.start[0]: one.string.lstrip("# ") for one in tokens if one.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.parse(source).body[0].body:
        if isinstance(node, ast.AnnAssign):
            line, above = node.lineno - 1, []
            while line in beside and source.splitlines()[line - 1].lstrip().startswith("#"):
                above.insert(0, beside[line])
                line -= 1
            found[node.target.id] = beside.get(node.end_lineno) or " ".join(above)
    return found
