"""Check that the network's grid meets the known voxels of sparse label maps, before a training begins."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from monai.data import MetaTensor

from monai_attn.datasets.checked_cases import READERS, CheckedCase
from monai_attn.io.errors import Faults, collect_warnings
from monai_attn.io.labels import labels_of
from monai_attn.io.scan import read_volume
from monai_attn.transforms.checks import no_known_voxel_on_grid
from monai_attn.transforms.grids import ResampleRASd


def check_known_on_grid(
    cases: Sequence[CheckedCase], spacing: Sequence[float], ignore: int | None
) -> None:
    """Resample label maps with ignored voxels as a training does, and check that a known voxel is left.

    Args:
        cases: checked cases that train; those without ignored voxels, and those on a grid as coarse, are not
            read.
        spacing: that of the network, mm.
        ignore: value of voxels that count nowhere.

    Raises:
        Faults: a line for each case without a known voxel on the network's grid.
    """
    resample = ResampleRASd("label", spacing, mode="nearest")

    def has_known(path: str) -> bool:
        volume = read_volume(path, fill=None)
        values = torch.as_tensor(labels_of(volume)).float()[None]
        label = MetaTensor(values, affine=torch.as_tensor(volume.affine))
        try:
            return bool((resample({"label": label})["label"] != ignore).any())
        except ValueError as error:  # too many voxels
            raise ValueError(f"{path}: {error}") from error

    paths = [
        str(case.case["label"])
        for case in cases
        if case.ignored and max(spacing) > min(case.spacing)
    ]
    # their warnings have been shown by `check_cases`
    with collect_warnings(), ThreadPoolExecutor(READERS) as pool:
        known = [*pool.map(has_known, paths)]
    missed = [path for path, is_known in zip(paths, known, strict=True) if not is_known]
    if missed:
        raise Faults(*map(no_known_voxel_on_grid, missed))
