"""Run the book's headlines again on fresh seeds, and store what came out.

    python -m replications                 # all that has not been run as it now stands
    python -m replications 2-attention/gpt # one page, or one function by its name
    python -m replications --list          # what there is, and how it stands

It takes hours. Stop it when you like: the next start goes on where it was stopped.
"""

import argparse
import datetime
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

import replications
from replications import FILE, HEADLINES, Headline, interval, verdict

ROOT = Path(__file__).resolve().parent.parent


def load() -> list[Headline]:
    """Every headline of every module in this folder, in the order of the book."""
    for module in pkgutil.iter_modules(replications.__path__):
        if module.name != "__main__":
            importlib.import_module(f"replications.{module.name}")
    place = {page: number for number, page in enumerate(pages())}
    return sorted(HEADLINES, key=lambda one: place[one.page])


def pages() -> list[str]:
    """The pages of _toc.yml, without "chapters/", in the order of the book."""
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    return re.findall(r"file: chapters/(\S+)", toc)


def chosen(names: list[str]) -> list[Headline]:
    """The headlines of these pages, or of these names; all of them where none is named."""
    every = load()
    for name in names:
        if not any(name in (one.page, one.name) for one in every):
            known = ", ".join(dict.fromkeys(one.page for one in every))
            sys.exit(f"There is no page or headline {name!r}. Pages with headlines: {known}.")
    return [one for one in every if not names or one.page in names or one.name in names]


def stored() -> dict[str, dict]:
    """What was recorded, by the name of the headline."""
    if not FILE.exists():
        return {}
    return {
        entry["name"]: entry
        for entry in json.loads(FILE.read_text(encoding="utf-8"))["headlines"]
    }


def entry(headline: Headline, results: list[dict]) -> dict:
    """A headline as the record holds it: what was claimed, and what its seeds gave."""
    results = sorted(results, key=lambda result: result["seed"])
    found = {}
    if len(results) == len(headline.seeds):
        mean, low, high = interval([result["value"] for result in results])
        told = verdict(low, high, headline.side, headline.threshold)
        found = {"mean": mean, "low": low, "high": high, "verdict": told}
    return {
        "page": headline.page,
        "name": headline.name,
        "claim": headline.claim,
        "effect": headline.effect,
        headline.side: headline.threshold,
        "digest": headline.digest(),
        "results": results,
        **found,
    }


def write(entries: dict[str, dict]) -> None:
    """Store the record whole, or not at all."""
    kept = [entries[one.name] for one in load() if one.name in entries]
    text = json.dumps({"headlines": kept}, indent=1, ensure_ascii=False) + "\n"
    draft = FILE.with_suffix(".new")
    draft.write_text(text, encoding="utf-8", newline="\n")
    os.replace(draft, FILE)


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def measure(name: str, seed: int) -> dict:
    """One headline with one seed, in a process of its own that has one thread."""
    (one,) = chosen([name])
    started = time.process_time()
    value = float(one.measure(seed))
    return {
        "seed": seed,
        "value": value,
        "cpu_seconds": round(time.process_time() - started, 1),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def committed() -> str:
    """The commit that holds the claims; one line and an end where they are not committed."""
    git = ["git", "-C", str(ROOT)]
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "replications"], capture_output=True, text=True
    )
    if changed.returncode:
        sys.exit("This is no git repository: that a claim came before its run could not be shown.")
    if changed.stdout:
        sys.exit(
            "replications/ has changes that are not committed. A claim is written down before "
            "it is run: commit them, then run this again."
        )
    head = [*git, "rev-parse", "HEAD"]
    return subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()


def listed(every: list[Headline], entries: dict[str, dict]) -> None:
    for one in every:
        old = entries.get(one.name, {})
        current = old.get("digest") == one.digest()
        told = old.get("verdict", "begun") if current else "to be run"
        print(f"{told:15} {one.page}: {one.claim}  [{one.name}]")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m replications",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="pages or headlines; default all")
    parser.add_argument("--list", action="store_true", help="run nothing; list the headlines")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side (default 2)")
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error("--jobs must be at least 1")
    every, entries = chosen(arguments.names), stored()
    if arguments.list:
        return listed(every, entries)
    commit = committed()
    jobs, results = [], {}
    for one in every:
        old = entries.get(one.name, {})
        same = old.get("digest") == one.digest()
        results[one.name] = old["results"] if same else []
        done = {result["seed"] for result in results[one.name]}
        jobs += [(one, seed) for seed in one.seeds if seed not in done]
    failures = run(jobs, results, entries, commit, arguments.jobs)
    told = [stored().get(one.name, {}).get("verdict", "not finished") for one in every]
    print(", ".join(f"{word}: {told.count(word)}" for word in dict.fromkeys(told)))
    if failures:
        sys.exit(f"{failures} runs ended in an error, above. The same command tries them again.")


def run(jobs: list, results: dict, entries: dict, commit: str, processes: int) -> int:
    """Run each (headline, seed), store every result as it comes; returns how many had an error."""
    from tinygpt.records import machine  # imports torch, for which --list need not wait

    about, failures = {"commit": commit, "machine": machine()}, 0
    pool = ProcessPoolExecutor(
        processes,
        mp_context=get_context("spawn"),
        initializer=one_thread,
    )
    waiting = {pool.submit(measure, one.name, seed): (one, seed) for one, seed in jobs}
    try:
        for future in tqdm(as_completed(waiting), total=len(jobs), unit="run", smoothing=0):
            one, seed = waiting[future]
            if error := future.exception():
                failures += 1
                tqdm.write(f"{one.name}, seed {seed}: {type(error).__name__}: {error}")
                continue
            results[one.name].append(future.result() | about)
            entries[one.name] = entry(one, results[one.name])
            write(entries)
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        sys.exit("Stopped. The same command goes on from here.")
    pool.shutdown()
    return failures
