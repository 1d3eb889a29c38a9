"""The recorded run that needs a GPU and no data: how fast a step of GPT-2 small is, and why.

python -m tools.records gpt2-small-step
"""

import time
from contextlib import nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tinygpt import checkpoint
from tinygpt.model import GPT, GPTConfig, preset
from tinygpt.train import NextToken
from tools.records.job import Job

WARM_UP, STEPS = 3, 10
# 50,304 rather than 50,257 tokens: a multiple of 128, which matrix units like.
SMALL = {"vocab_size": 50_304, "context": 1024, "num_layers": 12, "num_heads": 12, "d_model": 768}
TINY = {"vocab_size": 64, "context": 16, "num_layers": 1, "num_heads": 2, "d_model": 16}
# Each row of the table keeps what the ones above it switched on.
LADDER = (
    "float32",
    "tf32",
    "bfloat16",
    "flash attention",
    "torch.compile",
    "fused AdamW",
    "four times the rows",
)


def gpt2_small_step(job: Job) -> dict:
    """A training step of GPT-2 small (124M) on synthetic tokens, one GPU, one change at a time.

    The rate it is compared with is that of one large product of bfloat16 matrices, measured on the
    same GPU. Operations are counted as is usual: six for each weight and token, and attention to
    all positions, though the mask spares half of that.
    """
    device, kept = torch.device(job.device), job.out / "steps.json"
    config = preset("gpt2", **TINY if job.rehearsal else SMALL)
    rows, size = (2, 128) if job.rehearsal else (16, 8192)
    done = checkpoint.read_json(kept) if kept.exists() else {"rate": matrix_rate(device, size)}
    for level, change in enumerate(LADDER):
        if change not in done:
            job.check(change)
            done[change] = step(config, level, rows, device)
            checkpoint.write_json(kept, done)
            print(f"{change}: {done[change]}", flush=True)
    rate = done.pop("rate")
    for row in done.values():
        if "flops" in row:
            row["share_of_matrix_rate"] = float(f"{row['flops'] / rate:.3g}")
    return {
        "training": {"rows": rows, "context": config.context},
        "figures": {"matrix_rate": round(rate), "steps": done},
    }


def matrix_rate(device: torch.device, size: int, times: int = 20) -> float:
    """Operations a second of a product of (size, size) bfloat16 matrices."""
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    seconds = timed(lambda: a @ a, times, device)
    return 2 * size**3 / seconds


def step(config: GPTConfig, level: int, rows: int, device: torch.device) -> dict:
    """What a training step takes with the first `level` changes of LADDER switched on."""
    rows *= 4 if level >= 6 else 1
    torch.compiler.reset()  # else what was compiled for an earlier model keeps its memory
    torch.cuda.empty_cache()
    torch.set_float32_matmul_precision("high" if level >= 1 else "highest")
    torch.manual_seed(0)
    model = GPT(config).to(device)
    loss_of = NextToken(model, torch.bfloat16 if level >= 2 else None)
    if level >= 4:
        loss_of.compile()
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=6e-4,
        betas=(0.9, 0.95),
        weight_decay=0.1,
        fused=level >= 5,
        foreach=level < 5,
    )
    tokens = torch.randint(config.vocab_size, (rows, config.context + 1), device=device)

    def once() -> None:
        with nullcontext() if level >= 3 else sdpa_kernel(SDPBackend.MATH):
            loss_of(tokens).backward()
        optimiser.step()
        optimiser.zero_grad()

    try:
        first = timed(once, 1, device, warm_up=0)
        seconds = timed(once, STEPS, device)
    except torch.OutOfMemoryError:  # a small GPU: that is worth a line of the table, too
        return {"rows": rows, "out_of_memory": True}
    matrices = model.num_parameters() - model.position.weight.numel()
    attention = 12 * config.num_layers * config.d_model * config.context
    each_second = rows * config.context / seconds  # tokens
    return {
        "rows": rows,
        "milliseconds": round(seconds * 1000, 2),
        "first_seconds": round(first, 1),  # with what torch.compile does once
        "tokens_per_second": round(each_second),
        "flops": round((6 * matrices + attention) * each_second),
    }


def timed(work, times: int, device: torch.device, warm_up: int = WARM_UP) -> float:
    """Seconds of one call, on average over `times` after some that do not count."""
    for _ in range(warm_up):
        work()
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    for _ in range(times):
        work()
    wait()
    return (time.perf_counter() - started) / times
