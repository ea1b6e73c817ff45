"""A Dask cluster that does the work of a run: a scheduler that exists, or workers on this machine.

Dask gives each item to a worker that is free. If a worker dies, its items go to another one; an item with
which several workers died is given up.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
PATIENCE = 60  # seconds until a scheduler must answer, and have a worker
SHARE = 0.75  # of a worker's memory: Dask pauses a worker at 0.8 and ends it at 0.95


class WorkerDied(Exception):  # noqa: N818  the workers are at fault, or the item
    """An item with which several workers died."""


@contextmanager
def dask_client(scheduler: str | None = None, workers: int | None = None) -> Iterator[Client]:
    """Connect to a Dask scheduler, or start workers on this machine that end with the block.

    Args:
        scheduler: address of a scheduler, such as `tcp://10.0.0.1:8786`, or path of its scheduler file.
        workers: number of workers to start on this machine, if there is no scheduler; 1 by default.

    Raises:
        ValueError: if Dask is not installed, both are given, no scheduler answers, or it has no worker.
    """
    try:
        import dask

        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ValueError(
            'engine (=dask): Dask is not installed. Run pip install "monai-attn[dask]".'
        ) from error
    if scheduler and workers:
        raise ValueError(
            f"workers (={workers}): the scheduler {scheduler} has workers of its own. Leave out one of both."
        )
    if workers is not None and workers < 1:
        raise ValueError(f"workers (={workers}) must be 1 or more")
    if scheduler:
        place = (
            {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
        )
        try:
            with Client(**place, timeout=PATIENCE, set_as_default=False) as client:
                client.wait_for_workers(1, timeout=PATIENCE)
                yield client
        except (OSError, TimeoutError) as error:
            raise ValueError(
                f"{scheduler}: no Dask scheduler with a worker answers ({error}). Start them, or check the "
                "address."
            ) from error
        return
    count = workers or 1
    # Without these, Dask gives one thread to each worker's torch, which heeds the smaller of the two.
    threads = str(max(1, (os.cpu_count() or 1) // count))
    variables = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    settings = {
        # an item more than a worker can run would be suspected too when the worker dies
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.nanny.pre-spawn-environ": variables,
    }
    with (
        _restored_environment(),
        dask.config.set(settings),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            dashboard_address=":0",  # any free port: two runs on one machine do not meet
            silence_logs=logging.CRITICAL,  # workers that died are in the results
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _restored_environment() -> Iterator[None]:
    """Give this process its environment back: Dask sets in it what its workers are to inherit."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def run_on_workers(
    client: Client, function: Callable[..., T], items: Sequence[Any], *arguments: Any
) -> Iterator[tuple[Any, T | Exception]]:
    """Call a function with each item on the workers; yield each item and its result, in order of arrival.

    An exception of the function takes the place of its result. What is not done when the iteration ends is
    cancelled.

    Args:
        client: the cluster.
        function: called with an item and the arguments.
        items: the items.
        arguments: further arguments, the same for all items.
    """
    from distributed.scheduler import KilledWorker

    from distributed import as_completed

    task = partial(_call, function=function, arguments=arguments)
    futures = client.map(task, items, pure=False)
    item_of = dict(zip(futures, items, strict=True))
    try:
        for future in as_completed(futures, loop=client.loop):
            item = item_of.pop(future)
            error = future.exception()
            if isinstance(error, KilledWorker):
                yield item, WorkerDied("the workers that took it died, as for want of memory")
            else:
                yield item, error or future.result()
            future.release()
    finally:
        client.cancel(list(item_of))


def _call(item: Any, function: Callable[..., T], arguments: Sequence[Any]) -> T:
    return function(item, *arguments)


def worker_memory() -> int | None:
    """Return the bytes that a task may use on this worker; None outside a worker, or without a limit."""
    from distributed import get_worker

    try:
        limit = get_worker().memory_manager.memory_limit
    except (ValueError, AttributeError):  # no worker, or no limit
        return None
    return int(SHARE * limit) if limit else None
