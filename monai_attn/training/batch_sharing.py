"""Means to train in several processes as in one: shares of a batch, and its common statistics."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_share(batch_size: int) -> int:
    """Return how many cases of a batch each process takes.

    Raises:
        ValueError: if they cannot be shared evenly.
    """
    processes = idist.get_world_size()
    if batch_size % processes:
        raise ValueError(
            f"batch_size (={batch_size}) must be a multiple of the {processes} processes that share it. "
            f"Set batch_size to {-(-batch_size // processes) * processes}."
        )
    return batch_size // processes


def synchronized(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network with batch normalisation over all processes; its weights keep their names.

    On GPUs it is torch's `SyncBatchNorm`, which does not run on a CPU.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm):
            setattr(network, name, _shared(child))
        else:
            synchronized(child, device)
    return network


class SharedBatchNorm(_BatchNorm):
    """`BatchNorm` whose mean and variance in training are those of all processes together.

    Mean and variance are computed in float32; the output has the type of the input.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of spatial dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, *spatial); every process must call it."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        over = [0, *range(2, x.ndim)]
        count = x.new_tensor([x.numel() / x.shape[1]])
        sums = _SumOverAll.apply(torch.cat([x.sum(over), count]))
        mean = sums[:-1] / sums[-1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        centred = x - mean.view(shape)
        variance = _SumOverAll.apply(centred.square().sum(over)) / sums[-1]
        with torch.no_grad():
            self._update_running(mean, variance * sums[-1] / (sums[-1] - 1))
        scale = torch.rsqrt(variance + self.eps)
        scale = scale if self.weight is None else scale * self.weight
        out = centred * scale.view(shape)
        out = out if self.bias is None else out + self.bias.view(shape)
        return out.to(input.dtype)

    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running mean and variance, as torch does."""
        if (
            self.running_mean is None
            or self.running_var is None
            or self.num_batches_tracked is None
        ):
            return
        self.num_batches_tracked.add_(1)
        step = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, step)
        self.running_var.lerp_(variance, step)


def _shared(norm: _BatchNorm) -> SharedBatchNorm:
    shared = SharedBatchNorm(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    shared.load_state_dict(norm.state_dict())
    return shared


class _SumOverAll(torch.autograd.Function):
    """Sum over all processes, of a value and of its gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return torch.as_tensor(idist.all_reduce(value.clone()))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        own = gradient.clone(memory_format=torch.contiguous_format)
        return torch.as_tensor(idist.all_reduce(own))
