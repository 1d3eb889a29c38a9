"""Several processes, one for each GPU, that train one model together.

    torchrun --nproc-per-node 8 -m tinygpt train --preset story-gpu --out runs/first

PyTorch does it all: `torchrun` starts the processes and tells each its number, and
DistributedDataParallel averages their gradients. With FSDP2 (`fully_shard`) each process holds its
share of the weights and of the optimisers' memory only, for models that do not fit one GPU.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from tinygpt.errors import PlainError

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
REMEMBERED = "optimiser/"  # begins the names of what optimisers remember of a parameter


class DeviceError(PlainError, ValueError):
    """A device that is not there. The message is one line."""


@dataclass(frozen=True)
class Place:
    """Where a process stands among all."""

    device: torch.device
    rank: int = 0  # its number
    world: int = 1  # how many there are

    @property
    def first(self) -> bool:
        """True for the one process that writes files and prints."""
        return self.rank == 0

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            dist.barrier()

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes of what each of them has."""
        if self.world > 1:
            dist.all_reduce(values)
            values = values / self.world
        return values


def find_device(name: str | None = None) -> torch.device:
    """The device called `name`, or the fastest that PyTorch finds; DeviceError without it."""
    gpu = torch.accelerator.current_accelerator(check_available=True)
    there = ["cpu"] if gpu is None else ["cpu", gpu.type]
    try:
        device = torch.device(name or there[-1])
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise DeviceError(
            f"PyTorch finds no device {name!r} here: choose {' or '.join(there)}."
        ) from None
    return device


def launched() -> bool:
    """Whether `torchrun` started this process."""
    return dist.is_torchelastic_launched()


@contextmanager
def join(device: str | None = None) -> Iterator[Place]:
    """This process's place; those that `torchrun` started are brought together."""
    found = find_device(device)
    if not launched():
        yield Place(found)
        return
    if found.type == "cuda":
        found = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(found)
    dist.init_process_group("nccl" if found.type == "cuda" else "gloo")
    try:
        yield Place(found, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def shard(model: nn.Module, place: Place, dtype: torch.dtype | None = None) -> None:
    """Leave to each process its share of every block's weights, and of the rest.

    The shares stay in float32. With a `dtype` the weights travel and are multiplied in it, which
    halves what is sent; gradients are summed in float32 all the same.
    """
    mesh = dist.init_device_mesh(place.device.type, (place.world,))
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=dtype and torch.float32)
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    register_fsdp_forward_method(model, "hidden")  # an encoder begins there


def average(loss_of: nn.Module, place: Place) -> nn.Module:
    """The same, with gradients averaged over all processes; as it is where there is one process."""
    sharded = any(isinstance(module, FSDPModule) for module in loss_of.modules())
    if place.world == 1 or sharded:
        return loss_of
    return DistributedDataParallel(loss_of)


def exchange(loss_of: nn.Module, now: bool) -> None:
    """Whether the next backward pass exchanges gradients: the last piece of a batch does."""
    if isinstance(loss_of, DistributedDataParallel):
        loss_of.require_backward_grad_sync = now
    for module in loss_of.modules():
        if isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(now, recurse=False)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which each process may hold a share."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather(model: nn.Module, optimisers: list[Optimizer]) -> tuple[dict, dict]:
    """A model's tensors by name, and those that its optimisers remember; on the first process."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # a forward pass without a backward one leaves it whole
    state = get_optimizer_state_dict(model, optimisers, options=WHOLE).get("state", {})
    remembered = {
        f"{REMEMBERED}{parameter}/{name}": value
        for parameter, values in state.items()
        for name, value in values.items()
    }
    return model.stored(get_model_state_dict(model, options=WHOLE)), remembered


def scatter(tensors: dict[str, Tensor], model: nn.Module, optimisers: list[Optimizer]) -> None:
    """Give each process its share of what `gather` gave."""
    weights, state = {}, {}
    for name, value in tensors.items():
        if name.startswith(REMEMBERED):
            parameter, _, name = name.removeprefix(REMEMBERED).rpartition("/")
            state.setdefault(parameter, {})[name] = value
        else:
            weights[name] = value
    groups = get_optimizer_state_dict(model, optimisers)["param_groups"]
    set_model_state_dict(model, model.restored(weights), options=WHOLE)
    stored = {"state": state, "param_groups": groups}
    set_optimizer_state_dict(model, optimisers, stored, options=WHOLE)
