"""What answers of a served model cost, how long they wait in its queue, how often JSON is right."""

import asyncio
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import httpx
import torch
from tqdm import tqdm

import storyland
from storyland.sampler import Story
from storyland.tasks import questions
from tinygpt.generate import generate, steps
from tinygpt.model.quantise import quantise
from tinygpt.pretrained import pretrained
from tinygpt.serve import Server, parse
from tools.records.job import Job, once

NAME = "smollm2-135m-instruct"
SEED = 81  # of the stories
STORIES, BATCH, TRIES, ANSWER = 24, 12, 2, 48  # an answer has up to so many tokens
WARMTH = 0.3  # temperature of a further try
LENGTHS = (50, 100, 200, 400)  # tokens of a prompt
CLIENTS = (1, 2, 4, 8)
EACH, ROUNDS, WRITTEN, AT_ONCE = 2, 5, 8, 40  # answers a client, times, tokens, requests
FIELDS = "hero", "village", "animal"
ASKED = (
    "{story}\n\nReply with one JSON object and nothing else. It has three fields, each a text: "
    '"hero", the name of the child that the story is about; "village", the name of the village; '
    'and "animal", the kind of animal in the story.'
)


def serving(here: Job) -> dict:
    """SmolLM2 behind the course's server, on one thread of the processor: the time to the first
    token by the length of the prompt, answers a second and waiting by the number of clients, and
    how often what it gives for JSON of three fields parses and is right."""
    torch.set_num_threads(1)
    about = {"stories": STORIES, "seed": SEED, "tries": TRIES, "answer": ANSWER, "warmth": WARMTH}
    works = {"json": answers, "json with an example": shown, "prompts": prompts, "load": load}
    found = {name: once(here.out, {"part": name} | about, make) for name, make in works.items()}
    figures = {
        f"tokens_a_second with {n}": round(statistics.fmean(r["tokens_a_second"] for r in of), 2)
        for n, of in found["load"]["clients"].items()
    } | {"ms_a_token": found["prompts"]["ms_a_token"]}
    return {"training": {"model": NAME, **about}, **found, "figures": figures}


# JSON with three fields ---------------------------------------------------------------------------


def told(seed: int) -> Iterator[Story]:
    """Stories that name a village and one kind of animal, which is in their facts."""
    for story in storyland.stories(seed):
        animals = {w for w, role in zip(story.words, story.roles, strict=True) if role == "animal"}
        facts = story.facts
        if all(field in facts and facts[field] in story.text for field in FIELDS):
            if animals == {facts["animal"]}:
                yield story


def asked(story: Story, example: Story | None = None) -> list[dict[str, str]]:
    """The conversation that ends with the question; before it another one, answered rightly."""
    question = {"role": "user", "content": ASKED.format(story=story.text.strip())}
    if example is None:
        return [question]
    answer = json.dumps({field: example.facts[field] for field in FIELDS})
    return [*asked(example), {"role": "assistant", "content": answer}, question]


def fault(answer: str, story: str) -> str | None:
    """What is wrong with an answer, as a program can tell that does not know the right one."""
    try:
        said = json.loads(answer)
    except ValueError:
        return "no JSON"
    if not isinstance(said, dict) or set(said) != set(FIELDS):
        return "other fields"
    if not all(isinstance(value, str) and value for value in said.values()):
        return "no text"
    if not all(" ".join(questions.normal(value)) in story.lower() for value in said.values()):
        return "not in the story"
    return None


def right(answer: str, facts: dict[str, str]) -> dict[str, bool]:
    """Field by field, whether it is what the story's facts say."""
    try:
        said = json.loads(answer)
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    return {
        field: questions.normal(str(said.get(field, ""))) == questions.normal(facts[field])
        for field in FIELDS
    }


def answers() -> list[dict]:
    """For each story its facts, what came greedily, and what was drawn while a check failed."""
    real, stories = pretrained(NAME), list(islice(told(SEED), STORIES))
    found = [{"facts": {f: one.facts[f] for f in FIELDS}, "drawn": []} for one in stories]
    with tqdm(total=STORIES, desc="greedy", unit="answer") as bar:
        for few in parts(real, stories, range(STORIES)):
            for i, text in zip(few, batch(real, [stories[i] for i in few], 0.0), strict=True):
                found[i]["greedy"] = text
            bar.update(len(few))
    for number in range(1, TRIES):
        failed = [
            i
            for i, one in enumerate(found)
            if fault(cut([one["greedy"], *one["drawn"]][-1]), stories[i].text)
        ]
        for few in tqdm(parts(real, stories, failed), desc=f"try {number + 1}", unit="batch"):
            generator = torch.Generator().manual_seed(1000 * number + few[0])
            texts = batch(real, [stories[i] for i in few], WARMTH, generator, stop="}")
            for i, text in zip(few, texts, strict=True):
                found[i]["drawn"].append(text)
    return found


def shown() -> list[str]:
    """A greedy answer for each story, after an example: another story and its right answer."""
    real, stories = pretrained(NAME), list(islice(told(SEED), STORIES))
    example, found = next(told(SEED + 1)), [""] * STORIES
    for few in tqdm(parts(real, stories, range(STORIES)), desc="with an example", unit="batch"):
        texts = batch(real, [stories[i] for i in few], 0.0, example=example)
        for i, text in zip(few, texts, strict=True):
            found[i] = text
    return found


def parts(real, stories: list[Story], which: Sequence[int]) -> list[list[int]]:
    """Batches of stories, those of about the same length together."""
    by_length = sorted(which, key=lambda i: len(real.tokenizer.encode(stories[i].text)))
    return [by_length[i : i + BATCH] for i in range(0, len(by_length), BATCH)]


def cut(answer: str) -> str:
    """From the first { to the next }: JSON without what a model likes to put around it."""
    start = answer.find("{")
    return answer[start : answer.find("}", start) + 1] if start >= 0 else ""


def batch(
    real, stories: list[Story], temperature: float, generator=None, stop="", example=None
) -> list[str]:
    """The answers of one pass over several stories; none can tell that it is not alone."""
    texts = [real.tokenizer.encode(real.chat(asked(one, example)), special=True) for one in stories]
    longest = max(map(len, texts))
    ids, keep = (torch.zeros(len(texts), longest, dtype=kind) for kind in (torch.long, torch.bool))
    for row, text in enumerate(texts):
        ids[row, : len(text)], keep[row, : len(text)] = torch.tensor(text), True
    end = real.tokenizer.end_id
    how = {"temperature": temperature, "generator": generator, "stop": end, "keep": keep}
    if stop:
        how |= {"stop_strings": stop, "tokenizer": real.tokenizer}
    rows = generate(real.model, ids, ANSWER, **how).tolist()
    return [real.tokenizer.decode(row[: row.index(end)] if end in row else row) for row in rows]


# Prompts and clients ------------------------------------------------------------------------------


def prompts() -> dict:
    """Processor time to the first token and for each that follows; medians of ROUNDS."""
    real = fast()
    text = real.tokenizer.encode(" ".join(islice((s.text for s in storyland.stories(SEED)), 12)))
    first, each = {n: [] for n in LENGTHS}, []
    for _ in tqdm(range(ROUNDS), desc="prompts"):
        for n in LENGTHS:
            began = time.process_time()
            for i, _step in enumerate(steps(real.model, real.tokenizer, text[:n], 9)):
                if i == 0:
                    first[n].append(time.process_time() - began)
                    began = time.process_time()
            each.append((time.process_time() - began) / 8)
    return {
        "first_s": {n: round(statistics.median(of), 3) for n, of in first.items()},
        "ms_a_token": round(1000 * statistics.median(each), 1),
    }


def load() -> dict:
    """Clients that each ask again as soon as they are answered; and AT_ONCE that come at once."""
    rounds = {n: [] for n in CLIENTS}
    with Server(fast(), log=lambda line: None) as server:
        asyncio.run(measure(server.url, 1))  # what is slow only once
        for _ in tqdm(range(ROUNDS), desc="clients"):
            for n in CLIENTS:
                rounds[n].append(asyncio.run(measure(server.url, n)))
        burst = asyncio.run(at_once(server.url))
    clients = {
        n: [{key: round(value, 3) for key, value in one.items()} for one in of]
        for n, of in rounds.items()
    }
    return {"clients": clients, "burst": burst}


def fast():
    """As `python -m tinygpt serve` has it."""
    real = pretrained(NAME)
    return replace(real, model=quantise(real.model))


def body(seed: int) -> dict:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"}]
    return {"model": NAME, "messages": messages, "max_tokens": WRITTEN, "seed": seed}


async def measure(url: str, clients: int) -> dict:
    """EACH answers a client, with so many clients: what they saw, and what the server counted."""
    answers = EACH * clients
    waiting, took, tokens = iter(range(answers)), [], []

    async def client(http: httpx.AsyncClient) -> None:
        for seed in waiting:
            began = time.perf_counter()
            answer = await http.post("/v1/chat/completions", json=body(seed))
            took.append(time.perf_counter() - began)
            tokens.append(answer.raise_for_status().json()["usage"]["completion_tokens"])

    async with httpx.AsyncClient(base_url=url, timeout=None) as http:
        before = parse((await http.get("/metrics")).text)
        began = time.perf_counter()
        await asyncio.gather(*(client(http) for _ in range(clients)))
        seconds = time.perf_counter() - began
        after = parse((await http.get("/metrics")).text)
    area = after["inside_seconds_total"] - before["inside_seconds_total"]
    return {
        "tokens_a_second": sum(tokens) / seconds,
        "seconds_an_answer": statistics.fmean(took),  # W, by the clients' clocks
        "answers_a_second": answers / seconds,  # λ, by the clients' clocks
        "inside": area / seconds,  # L, by the server's count
    }


async def at_once(url: str) -> dict:
    """Statuses, and the slowest refusal."""
    refused = []

    async def one(http: httpx.AsyncClient, seed: int) -> int:
        began = time.perf_counter()
        answer = await http.post("/v1/chat/completions", json=body(seed))
        if answer.status_code == 429:
            refused.append((time.perf_counter() - began, int(answer.headers["Retry-After"])))
        return answer.status_code

    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=url, timeout=None, limits=limits) as http:
        began = time.perf_counter()
        statuses = await asyncio.gather(*(one(http, seed) for seed in range(AT_ONCE)))
        seconds = time.perf_counter() - began
    return {
        "asked": AT_ONCE,
        "answered": statuses.count(200),
        "refused": statuses.count(429),
        "slowest_refusal_s": round(max(took for took, _ in refused), 3),
        "retry_after_s": max(wait for _, wait in refused),
        "seconds": round(seconds, 3),
    }
