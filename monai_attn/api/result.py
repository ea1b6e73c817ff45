"""The result of segmenting one scan: arrays on the scan's own grid, volumes and warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_attn.inference.segmentation import Segmentation
from monai_attn.io.errors import collect_warnings
from monai_attn.io.grid import Grid
from monai_attn.io.images import LPS_TO_RAS
from monai_attn.io.map_encoding import FRACTIONS, UNSEEN
from monai_attn.io.names import case_name
from monai_attn.io.scan import read_volume
from monai_attn.io.volume import Volume
from monai_attn.io.writer import label_image
from monai_attn.runs.batch import case_result
from monai_attn.runs.case_files import write_case
from monai_attn.runs.json_values import label_names
from monai_attn.runs.output_paths import output_paths, summary_folder
from monai_attn.runs.replaceable import check_outputs
from monai_attn.runs.summary import Summary

if TYPE_CHECKING:
    import SimpleITK
    from matplotlib.figure import Figure

    from monai_attn.inference.label_statistics import LabelStatistics


@dataclass(frozen=True)
class Result:
    """The labels of one scan, on its own grid.

    Attributes:
        scan: the scan as it was given: its path, or the volume in memory.
        segmentation: labels, maps and numbers in the form of `monai_attn.inference`.
        settings: settings of the bundle, the backend and the options.
        warnings: warnings about the scan and the run, one line each.
        check: reason why the labels must be checked before they are used, in one line, or empty.
        scan_sha256: SHA-256 of the scan.
    """

    scan: Path | Volume
    segmentation: Segmentation
    settings: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    check: str = ""
    scan_sha256: str = ""

    def __repr__(self) -> str:
        found = [f"{name}: {ml:.1f} ml" for name, ml in self.volumes_ml.items()]
        check = [f"check: {self.check}"] if self.check else []
        return f"Result({', '.join([repr(self.name), *found, *check])})"

    @property
    def name(self) -> str:
        """The name of the case."""
        return case_name(self.grid.path)

    @property
    def grid(self) -> Grid:
        """The grid of the scan: shape (X, Y, Z), and affine (4, 4) from voxels to RAS+ mm."""
        return self.segmentation.scan

    @property
    def affine(self) -> NDArray[np.float64]:
        """The affine (4, 4) of scan and labels, from voxels to RAS+ mm."""
        return self.grid.affine

    @property
    def labels(self) -> NDArray[np.integer]:
        """The label of each voxel (X, Y, Z); 0 is background, and `label_names` names the others."""
        return self.segmentation.labels

    @property
    def label_names(self) -> dict[int, str]:
        """The name of each label, without the background."""
        return label_names(self.settings)

    @property
    def status(self) -> str:
        """The result in one word: `check` if the labels must be checked before use, else `segmented`."""
        return "check" if self.check else "segmented"

    @property
    def notice(self) -> str:
        """The intended use of the bundle's weights."""
        return str(self.settings.get("intended_use", ""))

    @property
    def volumes_ml(self) -> dict[str, float]:
        """The volume of each label in millilitres, by its name; 0 if it was not found."""
        found = self.segmentation.volumes_ml
        return {name: found.get(label, 0.0) for label, name in self.label_names.items()}

    @property
    def intervals_ml(self) -> dict[str, tuple[float, float]]:
        """The lowest and the highest plausible volume of each label in ml; empty unless asked for."""
        found = self.segmentation.intervals_ml
        return {name: found[label] for label, name in self.label_names.items() if label in found}

    @cached_property
    def attention(self) -> dict[int, NDArray[np.float32]]:
        """The attention (X, Y, Z) of each gated level, if asked for: 0 to 1, NaN where no window ran."""
        maps = self.segmentation.attention
        return {level: _fractions(stored) for level, stored in maps.items()}

    @cached_property
    def entropy(self) -> NDArray[np.float32] | None:
        """The entropy (X, Y, Z) of the probabilities, if asked for: 0 to 1, NaN where no window ran."""
        stored = self.segmentation.entropy
        return None if stored is None else _fractions(stored)

    @cached_property
    def probabilities(self) -> NDArray[np.float32] | None:
        """The probabilities (X, Y, Z, channels), if asked for, 0 to 1.

        Channel 0 is the background, and channel n is label n; with regions there is one channel for each, and
        no background. Before they were cleaned, the labels were the argmax, or the regions above 0.5.
        """
        stored = self.segmentation.probabilities
        return None if stored is None else stored.fractions()

    def save(self, output: str | Path) -> Path:
        """Write the files that `monai-attn segment` writes: label map, manifest, maps, and the summary.

        Args:
            output: a folder, or the path of the label map, which ends in .nii.gz or .nii.

        Returns:
            The path of the label map.

        Raises:
            ValueError: if the output would replace a file that is not an earlier result of the same scan.
        """
        output, path = Path(output), self.grid.path
        targets = output_paths([path], output)
        target, folder = targets[path], summary_folder(targets, output)
        self._check(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        names = self.label_names
        summary = Summary(folder, targets, names, self.settings) if folder else None
        write_case(
            target,
            self.segmentation,
            self.settings,
            scan_sha256=self.scan_sha256,
            warnings=self.warnings,
            check=self.check,
        )
        if summary:
            with summary:
                summary.add(case_result(path, target, self.segmentation, self.warnings, self.check))
        return target

    def _check(self, target: Path) -> None:
        """Check that all files can be written."""
        check_outputs(
            target,
            self.grid.path,
            self.segmentation.attention,
            entropy=self.segmentation.entropy is not None,
            probabilities=self.segmentation.probabilities is not None,
            in_memory=self.scan_sha256 if isinstance(self.scan, Volume) else "",
        )

    def to_nibabel(self) -> nib.Nifti1Image:
        """Return the labels as a nibabel image, with the scan's sform and qform."""
        return label_image(self.labels, self.grid)

    def to_simpleitk(self) -> SimpleITK.Image:
        """Return the labels as a SimpleITK image on the scan's grid.

        Raises:
            ValueError: if the grid is sheared, which ITK's geometry cannot express.
        """
        import SimpleITK as sitk

        affine = LPS_TO_RAS @ self.affine
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        direction = affine[:3, :3] / spacing
        if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-3):
            raise ValueError(
                f"{self.grid.path}: its axes are not at right angles; SimpleITK needs right angles: "
                "take the nibabel image"
            )
        image = sitk.GetImageFromArray(np.ascontiguousarray(self.labels.T))
        image.SetSpacing(spacing.tolist())
        image.SetOrigin(affine[:3, 3].tolist())
        image.SetDirection(direction.ravel().tolist())
        return image

    def statistics(self) -> dict[str, LabelStatistics]:
        """Compute the statistics of each label, by its name; one that was not found has a volume of 0.

        A scan that was given as a path is read again.
        """
        from monai_attn.inference.label_statistics import label_statistics

        names = self.label_names
        found = label_statistics(self.labels, self._volume().data, self.affine, names)
        return {names.get(label, f"label {label}"): one for label, one in found.items()}

    def figure(self) -> Figure:
        """Draw the scan with its labels in three planes; the axial one has the largest labelled area.

        A scan that was given as a path is read again.
        """
        from monai_attn.reporting.figures import case_figure

        return case_figure(
            self._volume().data,
            self.labels.astype(int),
            self.affine,
            title=self.name,
            names=self.label_names,
        )

    def _volume(self) -> Volume:
        """Return the scan with its voxels; its doubts are among the warnings."""
        if isinstance(self.scan, Volume):
            return self.scan
        with collect_warnings():
            return read_volume(
                self.scan, volume=self.settings.get("volume"), series=self.settings.get("series")
            )


def _fractions(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = FRACTIONS.astype(np.float32)
    values[UNSEEN] = np.nan
    return values[stored]
