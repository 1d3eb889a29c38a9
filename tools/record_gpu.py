"""The recorded run that needs a GPU of its own: how fast a step of GPT-2 small is, and why.

python tools/records.py gpt2-small-step
"""

import time
from contextlib import nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tinygpt.model import GPT, GPTConfig, preset
from tinygpt.train import NextToken

ROWS, WARM_UP, STEPS = 16, 3, 10
SMALL = {"context": 1024, "num_layers": 12, "num_heads": 12, "d_model": 768}
# Each row of the table keeps what the ones above it switched on.
LADDER = ("float32", "tf32", "bfloat16", "flash attention", "torch.compile", "fused AdamW")


def gpt2_small_step(name: str) -> dict:
    """A training step of GPT-2 small (124M) on synthetic tokens, one GPU, one change at a time."""
    # 50,304 rather than 50,257 tokens: a multiple of 128, which matrix units like.
    config = preset("gpt2", vocab_size=50_304, **SMALL)
    rate = matrix_rate(torch.device("cuda"))
    rows = {label: step(config, i, torch.device("cuda")) for i, label in enumerate(LADDER)}
    for row in rows.values():
        row["share_of_matrix_rate"] = round(row["flops"] / rate, 3)
    return {
        "training": {"rows": ROWS, "context": config.context},
        "figures": {"matrix_rate": round(rate), "steps": rows},
    }


def matrix_rate(device: torch.device, size: int = 8192, times: int = 20) -> float:
    """Operations a second of a product of large bfloat16 matrices."""
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    seconds = timed(lambda: a @ a, times, device)
    return 2 * size**3 / seconds


def step(config: GPTConfig, level: int, device: torch.device) -> dict:
    """Seconds of a training step with the first `level` changes of LADDER switched on."""
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
    rows = torch.randint(config.vocab_size, (ROWS, config.context + 1), device=device)

    def once() -> None:
        with nullcontext() if level >= 3 else sdpa_kernel(SDPBackend.MATH):
            loss_of(rows).backward()
        optimiser.step()
        optimiser.zero_grad()

    seconds = timed(once, STEPS, device)
    tokens = ROWS * config.context
    matrices = model.num_parameters() - model.position.weight.numel()
    attention = 12 * config.num_layers * config.d_model * config.context
    return {
        "milliseconds": round(seconds * 1000, 2),
        "tokens_per_second": round(tokens / seconds),
        # forward and backward: six operations a weight and token, and the attention's products
        "flops": round((6 * matrices + attention) * tokens / seconds),
    }


def timed(work, times: int, device: torch.device) -> float:
    """Seconds of one call, on average over `times` after a few that do not count."""
    for _ in range(WARM_UP):
        work()
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    for _ in range(times):
        work()
    wait()
    return (time.perf_counter() - started) / times
