"""Stories from the command line: `python -m storyland --seed 1 --stories 3`."""

import argparse
import itertools
import math
import os
import re
import sys
import textwrap
from pathlib import Path

from tqdm import tqdm

import storyland

UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
EXAMPLES = """examples:
  python -m storyland --seed 1 --stories 3
  python -m storyland --seed 1 --stories 1 --facts
  python -m storyland --entropy --stories 2000
  python -m storyland --seed 1 --out stories.txt --size 10MB"""


def size(text: str) -> int:
    """Bytes: `10MB`, `500kB` or a plain number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmg]?b?)", text.lower())
    if not match or not (number := float(match[1])):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 500kB or 10MB")
    unit = match[2] if match[2] in UNITS else match[2] + "b"
    return round(number * UNITS.get(unit, 1))


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m storyland", description="Stories whose true probabilities are known.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="which stories (default 1)")
    parser.add_argument("--stories", type=positive, metavar="N",
                        help="how many (default 1; for --entropy 1000)")
    parser.add_argument("--facts", action="store_true", help="print each story's facts under it")
    parser.add_argument("--entropy", action="store_true", help="measure the language's entropy")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write one story a line to a file")
    parser.add_argument("--size", type=size, help="with --out: how much, as in 10MB")
    options = parser.parse_args(arguments)
    if options.size and not options.out:
        parser.error("--size goes with --out FILE")
    if options.out:
        if not options.size and not options.stories:
            parser.error("--out needs --size (as in 10MB) or --stories")
        return write(options)
    if options.entropy:
        return print_entropy(options.seed, options.stories or 1000)
    for story in itertools.islice(storyland.stories(options.seed), options.stories or 1):
        print(textwrap.fill(story.text.rstrip(), 80), end="\n\n")
        if options.facts:
            width = max(map(len, story.facts))
            for name, value in story.facts.items():
                print(f"    {name:{width}}  {value}")
            print()
    return 0


def write(options: argparse.Namespace) -> int:
    """Writes to a part file first, so that FILE is whole or not there."""
    target = options.out
    if target.exists():
        return fail(f"{target} exists already; choose another name")
    part = target.with_name(target.name + ".part")
    stories = storyland.stories(options.seed)
    total = options.size or options.stories
    done = 0
    try:
        with open(part, "xb") as file, tqdm(
            total=total, unit="B" if options.size else " stories", unit_scale=bool(options.size),
            desc=str(target)) as bar:
            while done < total:
                line = next(stories).text.encode("utf-8")
                file.write(line)
                step = len(line) if options.size else 1
                done += step
                bar.update(min(step, total - bar.n))
        os.replace(part, target)
    except FileExistsError:
        return fail(f"{part} is in the way; another run may be writing it. Delete it if not")
    except OSError as error:
        part.unlink(missing_ok=True)
        return fail(f"cannot write {target}: {error.strerror}")
    except KeyboardInterrupt:
        part.unlink(missing_ok=True)
        return fail("stopped; nothing was written")
    return 0


def print_entropy(seed: int, count: int) -> int:
    if count < 2:
        return fail("--entropy needs --stories 2 or more, for a standard error")
    oracle = storyland.Oracle()
    stories = list(itertools.islice(storyland.stories(seed), count))
    measured = storyland.entropy(oracle, tqdm(stories, unit=" stories", desc="entropy"))
    print(f"Over {count} stories of seed {seed}, mean ± standard error:")
    print(f"  {measured.per_story} nats a story")
    print(f"  {measured.per_word} nats a word (punctuation marks are words)")
    print(f"  {measured.per_char} nats a character")
    print(f"  {measured.bits_per_char} bits a character")
    print(f"  as varied as {math.exp(measured.per_story.value):.0e} stories, all equally likely")
    for fact in storyland.HIDDEN:
        told = storyland.mutual_information(
            oracle, tqdm(stories, unit=" stories", desc=fact), fact)
        print(f"  {told} bits are told about the hidden choice `{fact}` by a whole story")
    return 0


def fail(message: str) -> int:
    print(f"storyland: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.stdout.reconfigure(encoding="utf-8")  # “ and ” on every terminal
        sys.exit(main())
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
