"""The recorded run of the page "Beyond text": captions of small pictures, and speech as a noisy
channel."""

import shutil
from collections.abc import Callable
from functools import partial

from tools.records import heard, pictures
from tools.records.job import Job, once


def beyond_text(job: Job) -> dict:
    """Captioners with patches of two sizes, three seeds each, and what they see; sentences heard
    through a noisy channel, and what each kind of prior makes of them.

    What is claimed of a picture is written as five digits: see `tools.records.pictures.code`.
    """
    kept = partial(once, job.out)
    runs = []
    for patch in pictures.PATCHES:
        for seed in pictures.SEEDS:
            job.check(f"the captioner of patch {patch}, seed {seed}")
            run = {"patch": patch, "seed": seed}
            for name, measure in pictures.MEASURES.items():
                make = partial(_measured, job, patch, seed, measure)
                run[name] = kept({"patch": patch, "seed": seed, "measure": name}, make)["of"]
            runs.append(run)
    tries = [kept({"tried": of}, partial(pictures.tried, *of)) for of in pictures.TRIED]
    first = f"captioner-{pictures.PATCHES[0]}-{pictures.SEEDS[0]}.safetensors"
    shutil.copyfile(job.out / first, job.out / pictures.FILE)

    def listened(name: str, rate: float | None, make: Callable[[], dict]) -> dict:
        job.check(f"{name} at {rate}")
        return kept({"heard": name, "rate": rate}, make)

    sentences = [
        listened("sentences", rate, partial(heard.measured, heard.SEED, heard.SENTENCES, rate))
        for rate in heard.RATES
    ]
    unexpected = [
        listened("unexpected", rate,
                 partial(heard.unexpected, heard.EXCHANGED_SEED, heard.EXCHANGED, rate))
        for rate in heard.EXCHANGED_RATES
    ]  # fmt: skip
    english = listened("English", None, heard.heard_in_english)
    return {
        "parameters": sum(p.numel() for p in pictures.load(job.out / first).parameters()),
        "tries": tries,
        "runs": runs,
        "orders": {str(order): bits for order, bits in heard.orders().items()},
        "sentences": sentences,
        "unexpected": unexpected,
        "english": english,
        "figures": {f"oracle, words wrong at {one['rate']}": wrong(one, "oracle")
                    for one in sentences},
    }  # fmt: skip


def _measured(job: Job, patch: int, seed: int, measure: Callable) -> dict:
    return {"of": measure(pictures.kept(job.out, patch, seed))}


def wrong(of: dict, name: str) -> float:
    """The share of the words that are wrong."""
    return round(sum(map(sum, of["wrong"][name])) / sum(map(sum, of["words"])), 4)
