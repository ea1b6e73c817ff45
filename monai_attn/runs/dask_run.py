"""A run on the workers of a Dask cluster: each opens the bundle once, and takes one scan after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai.transforms import Compose

from monai_attn.distributed.dask_cluster import run_on_workers
from monai_attn.inference.segmenter import Segmenter
from monai_attn.io.channels import Image, as_image, files_of
from monai_attn.io.errors import remedy_of
from monai_attn.runs.batch import Case, CaseResult, check_maps, segment_files
from monai_attn.runs.extra_files import ExtraFile

if TYPE_CHECKING:
    from distributed import Client

Opening = Callable[[], Segmenter]  # hashable: a worker opens it once
ONE_SCAN = threading.Lock()  # at a time in each process, however many threads a worker has
# settings that all workers must share; device, backend and precision may differ, as GPUs do
IDENTITY = ("monai_attn", "bundle_sha256", "weights_sha256", "mode")


@dataclass(frozen=True)
class DaskRun:
    """`segment_files` on the workers of a cluster, for `segment_targets`.

    All workers need the same package, bundle and scans at the same paths, and the output folder.

    Args:
        client: the cluster.
        opening: opens the bundle on a worker. Equal openings of one run are opened once in each process.
    """

    client: Client
    opening: Opening

    def describe(self) -> Segmenter:
        """Return the segmenter of a worker without its network: its settings and its levels.

        Raises:
            ValueError: if the worker cannot open the bundle.
        """
        return self.client.submit(_described, self.opening, pure=False).result()

    def __call__(
        self,
        segmenter: Segmenter,
        targets: Mapping[Image, Path],
        on_window: object = None,
        *,
        resume: bool = False,
        strict: bool = False,
        dicom_seg: bool = False,
        extras: Sequence[ExtraFile] = (),
        take: object = None,
    ) -> Iterator[CaseResult]:
        """Segment each scan on a worker; yield each result as soon as it is complete.

        Args:
            segmenter: the segmenter that `describe` returned.
            targets: the scans, and the path of the label map of each.
            on_window: not used; windows run elsewhere.
            resume: as for `segment_files`.
            strict: as for `segment_files`.
            dicom_seg: as for `segment_files`.
            extras: as for `segment_files`.
            take: not used; the cluster shares the scans.

        Raises:
            ValueError: if a map would replace a scan.
        """
        check_maps(segmenter, targets)
        options = {
            "resume": resume,
            "strict": strict,
            "dicom_seg": dicom_seg,
            "extras": tuple(extras),
        }
        cases = [
            (as_image([file.absolute() for file in files_of(image)]), target.absolute())
            for image, target in targets.items()
        ]
        given = dict(zip(cases, targets.items(), strict=True))
        found = run_on_workers(
            self.client, _segmented, cases, self.opening, _identity(segmenter), options
        )
        for case, result in found:
            image, target = given[case]
            scan = files_of(image)[0]
            if isinstance(result, Exception):
                yield CaseResult(scan, target, error=f"{scan}: {result}", remedy=remedy_of(result))
            else:
                yield replace(CaseResult.unpacked(result), scan=scan, target=target)


@lru_cache(maxsize=1)
def _opened(opening: Opening) -> Segmenter:
    return opening()


def _described(opening: Opening) -> Segmenter:
    with ONE_SCAN:
        segmenter = _opened(opening)
    empty = Compose([])
    return replace(
        segmenter, preprocessing=empty, inferer=None, network=print, postprocessing=empty
    )


def _identity(segmenter: Segmenter) -> dict[str, Any]:
    return {key: segmenter.settings.get(key) for key in IDENTITY}


def _segmented(
    case: Case, opening: Opening, identity: Mapping[str, Any], options: Mapping[str, Any]
) -> str:
    """Segment one scan on this worker, and return its packed result."""
    scan, target = case
    with ONE_SCAN:
        segmenter = _opened(opening)
        for key, value in _identity(segmenter).items():
            if value != identity[key]:
                raise ValueError(
                    f"a worker has another {key} (got {value}, expected {identity[key]}). Give all workers "
                    "the same files and packages."
                )
        (result,) = segment_files(segmenter, {scan: target}, **options)
    return result.packed()
