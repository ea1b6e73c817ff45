"""The engine of a run: this process and its ranks, or the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_attn.cli.bundle_opening import note_code, open_with_spinner
from monai_attn.cli.console import err

if TYPE_CHECKING:
    from monai_attn.inference.segmenter import Segmenter

DASK = "dask"


@dataclass(frozen=True)
class Engine:
    """An opened bundle, and the function that segments scans with it.

    Attributes:
        segmenter: the segmenter, or that of a worker without its network.
        segment: as for `segment_targets`; None for this process.
        roots: the folders of the bundles.
        notice: the intended use of the weights.
    """

    segmenter: Segmenter
    segment: Callable[..., Any] | None
    roots: Sequence[Path]
    notice: str


def check_engine(
    engine: str | None, scheduler: str | None, workers: int | None, *, ranks: int, dry_run: bool
) -> None:
    """Check the options of an engine before any work.

    Raises:
        ValueError: if the engine is unknown, or options do not go together.
    """
    if engine not in (None, DASK):
        raise ValueError(
            f"--engine {engine}: unknown ({DASK} expected). Leave it out for this machine."
        )
    for option, value in (("--scheduler", scheduler), ("--workers", workers)):
        if engine is None and value is not None:
            raise ValueError(f"{option} {value}: is for --engine {DASK}. Add --engine {DASK}.")
    if engine and ranks > 1:
        raise ValueError(f"--engine {engine}: torchrun starts {ranks} ranks. Start one process.")
    if scheduler and workers:
        raise ValueError(
            f"--workers {workers}: the scheduler {scheduler} has workers of its own. Leave out one of both."
        )
    if workers is not None and workers < 1:
        raise ValueError(f"--workers {workers}: 1 or more expected.")
    if engine and dry_run:
        raise ValueError(f"--dry-run: runs in this process. Leave out --engine {engine}.")


@contextmanager
def open_engine(
    engine: str | None,
    scheduler: str | None,
    workers: int | None,
    bundles: Sequence[str],
    options: dict[str, Any],
    outputs: dict[str, Any],
) -> Iterator[Engine]:
    """Open bundles in this process, or on the workers of a cluster that ends with the block.

    Args:
        engine: `dask`, or None for this process.
        scheduler: as for `dask_client`.
        workers: as for `dask_client`.
        bundles: names or folders of the bundles.
        options: options of `monai_attn.load`.
        outputs: options of `Bundle.segmenter`.
    """
    if engine is None:
        model = open_with_spinner(bundles, **options)
        roots = [one.root for one in model.bundle.members or (model.bundle,)]
        yield Engine(model.bundle.segmenter(**outputs), None, roots, model.notice)
        return
    from monai_attn.bundle.find import find_bundle, is_shipped
    from monai_attn.bundle.folds import members_of
    from monai_attn.distributed.dask_cluster import dask_client

    bundles = [str(member) for bundle in bundles for member in members_of(bundle)]
    for bundle in bundles:
        note_code(bundle)
    roots = [find_bundle(bundle) for bundle in bundles]
    # a worker has the shipped bundles in a package of its own
    names = [
        bundle if is_shipped(bundle) else str(root.absolute())
        for bundle, root in zip(bundles, roots, strict=True)
    ]
    with dask_client(scheduler, workers) as client:
        with err.status(f"opening {', '.join(bundles)} on the workers"):
            from monai_attn.api.dask_run import WorkerOpening
            from monai_attn.runs.dask_run import DaskRun

            opening = WorkerOpening(tuple(names), tuple(options.items()), tuple(outputs.items()))
            run = DaskRun(client, opening)
            segmenter = run.describe()
        notice = str(segmenter.settings.get("intended_use", ""))
        yield Engine(segmenter, run, roots, notice)
