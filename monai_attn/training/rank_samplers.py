"""Shares of the cases that each process validates or evaluates, when there may be fewer than processes.

With MONAI's `DistributedSampler` alone, a process without a case would not take part in the metric, and
the others would wait for it.
"""

from __future__ import annotations

import ignite.distributed as idist
from monai.data import DistributedSampler
from torch.utils.data import Dataset, Sampler, SequentialSampler


def validation_sampler(dataset: Dataset) -> Sampler:
    """Share the cases of a validation; with fewer cases than processes, each process takes all of them.

    The mean of the metric over all processes is the same either way.
    """
    if _cases(dataset) < idist.get_world_size():
        return SequentialSampler(dataset)  # type: ignore[arg-type]
    return _share(dataset)


def evaluation_sampler(dataset: Dataset) -> Sampler:
    """Share the cases of an evaluation, which writes the labels of each case once.

    Raises:
        ValueError: if there are fewer cases than processes.
    """
    cases, processes = _cases(dataset), idist.get_world_size()
    if cases < processes:
        raise ValueError(
            f"cases (={cases}) must be as many as the {processes} processes or more. Start {max(1, cases)} "
            "with --nproc_per_node, or evaluate without torchrun."
        )
    return _share(dataset)


def _cases(dataset: Dataset) -> int:
    return len(dataset)  # type: ignore[arg-type]


def _share(dataset: Dataset) -> Sampler:
    return DistributedSampler(dataset, even_divisible=False, shuffle=False)
