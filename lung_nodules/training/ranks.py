"""Several processes that train one network: `torchrun` starts them, each is a rank.

Data parallel: a step's numbered examples are the same however many ranks there are; each rank draws its share, and
gradients are averaged (`DistributedDataParallel`). So that N ranks learn what one would, whatever a loss divides by
is averaged over the ranks, too (`mean_over_ranks`), and batch normalisation sees the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

LONGEST_WAIT = timedelta(hours=4)  # for the first rank, which validates alone


@dataclass(frozen=True)
class Rank:
    """Which of the processes this is."""

    number: int = 0
    count: int = 1
    local: int = 0  # on this machine: number of its GPU

    @property
    def is_first(self) -> bool:
        """Whether this process validates, logs, saves and publishes."""
        return self.number == 0


class RankFinished(Exception):  # noqa: N818  # no error: its work is done
    """What follows is done once, by the first rank, and this is another."""


def this_rank() -> Rank:
    """The rank of this process; alone where nobody joined."""
    if not (dist.is_available() and dist.is_initialized()):
        return Rank()
    return Rank(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def joined_ranks() -> Iterator[Rank]:
    """Join the other processes that `torchrun` started, and part at the end; alone where it started none.

    NCCL between GPUs, gloo between CPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Rank()
        return
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if has_gpu else "gloo", timeout=LONGEST_WAIT)
    try:
        yield this_rank()
    finally:
        dist.destroy_process_group()


def share_network(network: nn.Module) -> nn.Module:
    """The network to call in training: itself alone, among ranks one whose gradients are averaged."""
    if this_rank().count == 1:
        return network
    device = next(network.parameters()).device
    if device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    else:
        _share_batch_norm(network)
    return DistributedDataParallel(
        network,
        device_ids=[device.index] if device.type == "cuda" else None,
        forward_sync_buffers=False,  # batch normalisation has kept them the same
        find_unused_parameters=True,  # the Vision Transformers have some
    )


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a value that no gradient flows through; for what a loss divides by."""
    if this_rank().count == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / this_rank().count


def agree(number: int) -> int:
    """The first rank's number, on every rank; ranks wait here for each other."""
    rank = this_rank()
    if rank.count == 1:
        return number
    told = torch.tensor([number], device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.broadcast(told, src=0)
    return int(told.item())


def spread(tensors: Iterable[Tensor]) -> None:
    """Give every rank the first rank's values, in place."""
    if this_rank().count == 1:
        return
    for tensor in tensors:
        values = tensor.detach().contiguous()
        dist.broadcast(values, src=0)
        tensor.detach().copy_(values)


def leave_to_first_rank() -> None:
    """Go on as the first rank alone.

    Raises:
        RankFinished: This is another rank.
    """
    if not this_rank().is_first:
        raise RankFinished


@contextmanager
def first_rank_first() -> Iterator[None]:
    """What the first rank does before the others do it, so that they find what it left on disk."""
    is_first = this_rank().is_first
    if not is_first:
        agree(0)
    yield
    if is_first:
        agree(0)


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation over the batch of all ranks, as `nn.SyncBatchNorm` does it, which runs on GPUs alone."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  # torch's name
        """Any number of axes after the channels."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """Normalise (batch, channels, ...)."""
        if not self.training:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            return self._normalised(input.float()).to(input.dtype)

    def _normalised(self, image: Tensor) -> Tensor:
        axes = [0, *range(2, image.dim())]
        ones = image.new_full((image.shape[1],), image.numel() / image.shape[1])
        sums = torch.stack([image.sum(axes), image.square().sum(axes), ones])
        total, squares, count = _SumOverRanks.apply(sums).unbind()  # type: ignore[no-untyped-call]
        mean = total / count
        variance = squares / count - mean.square()
        self._follow(mean.detach(), (variance * count / (count - 1)).detach())
        shape = [1, -1] + [1] * (image.dim() - 2)
        scale = self.weight * torch.rsqrt(variance.clamp(min=0) + self.eps)
        normalised: Tensor = (image - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)
        return normalised

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        factor = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, factor)
        self.running_var.lerp_(variance, factor)


class _SumOverRanks(torch.autograd.Function):
    """The sum over all ranks; its gradient is summed over them, too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def _share_batch_norm(network: nn.Module) -> None:
    """Put `SharedBatchNorm` in the place of every batch normalisation below; parameters and buffers stay the same."""
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, SharedBatchNorm):
            shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
            shared.weight, shared.bias = child.weight, child.bias
            shared.running_mean, shared.running_var = child.running_mean, child.running_var
            shared.num_batches_tracked = child.num_batches_tracked
            setattr(network, name, shared)
        else:
            _share_batch_norm(child)
