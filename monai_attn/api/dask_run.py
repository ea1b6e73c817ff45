"""The opening of a bundle on a Dask worker."""

from __future__ import annotations

from dataclasses import dataclass

from monai_attn.api.model import load
from monai_attn.distributed.dask_cluster import worker_memory
from monai_attn.inference.segmenter import Segmenter


@dataclass(frozen=True)
class WorkerOpening:
    """The bundles and the options of a run, from which each worker makes its segmenter.

    Attributes:
        bundles: the bundles; several are an ensemble.
        options: options of `monai_attn.load`, as pairs. Without `memory`, a worker uses three quarters of the
            memory that Dask allows it.
        outputs: options of `Bundle.segmenter`, as pairs.
    """

    bundles: tuple[str, ...]
    options: tuple[tuple[str, object], ...] = ()
    outputs: tuple[tuple[str, object], ...] = ()

    def __call__(self) -> Segmenter:
        """Open the bundles, and return the segmenter."""
        options = dict(self.options)
        if options.get("memory") is None:
            options["memory"] = worker_memory()
        return load([*self.bundles], **options).bundle.segmenter(**dict(self.outputs))  # type: ignore[arg-type]
