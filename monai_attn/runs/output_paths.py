"""Output paths of label maps: one for each scan, and never that of a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from monai_attn.datasets.cases import find_named
from monai_attn.datasets.scan_names import scan_names
from monai_attn.io.channels import Image, files_of
from monai_attn.io.names import LABELS, real_path, suffix


def output_paths(
    scans: Sequence[Image], output: Path, names: Mapping[Image, str] | None = None
) -> dict[Image, Path]:
    """Return the output path of each scan's labels, without creating anything.

    Args:
        scans: the scans to segment; a tuple of paths is one scan, with a file for each channel.
        output: a folder, in which the labels of a case are NAME_seg.nii.gz; or, for one scan, the
            path of its labels, which ends in .nii.gz or .nii.
        names: the name of each case; by default as `scan_names` chooses it.

    Returns:
        The path of the labels for each scan, in the order of the scans.

    Raises:
        ValueError: if two scans would share a path, a path is a scan itself, a scan is listed
            twice, or `output` is a file where a folder is needed, or the other way round.
    """
    if suffix(output, LABELS):
        if len(scans) != 1:
            raise ValueError(
                f"{output}: one file for the labels of {len(scans)} scans (expected one scan). "
                "Give a folder."
            )
        if output.is_dir():
            raise ValueError(
                f"{output}: is a folder, but has the name of a file. Give another name."
            )
        targets = {scans[0]: output}
    else:
        if output.exists() and not output.is_dir():
            raise ValueError(
                f"{output}: is a file (expected a folder, or a name that ends in .nii.gz). "
                "Give another output."
            )
        if suffix(output) and not output.exists():
            raise ValueError(
                f"{output}: labels are written as NIfTI (expected a folder, or a name that ends in .nii.gz). "
                "Give another output."
            )
        names = names or scan_names(scans)
        targets = {scan: output / f"{names[scan]}_seg.nii.gz" for scan in scans}
    _check_outputs(scans, targets)
    return targets


def find_targets(
    inputs: Sequence[str | Path],
    output: Path,
    channels: Sequence[str] = (),
    *,
    series: str | None = None,
    pattern: str | None = None,
) -> dict[Image, Path]:
    """List the scans of all inputs, and the path of the label map of each.

    Args:
        inputs: NIfTI scans, DICOM folders, folder trees of either, or datalists.
        output: as for `output_paths`.
        channels: the names of the network's channels; if there are several, the files of each case are
            joined, see `join_channels`.
        series: the DICOM series to take from folders: a SeriesInstanceUID, or "all" for every CT series; by
            default one of each study, see `monai_attn.datasets.series_choice`.
        pattern: pattern for the names of DICOM series, as for `name_series`; by default their paths, or
            pseudonyms in a folder with several.

    Raises:
        ValueError: as `find_named` and `output_paths`.
    """
    scans, names = find_named(inputs, channels, series=series, pattern=pattern)
    return output_paths(scans, output, names)


def summary_folder(targets: Mapping[Image, Path], output: Path) -> Path | None:
    """Return the folder whose summary lists the targets; None if the output is one label map."""
    return output if targets and output not in targets.values() else None


def _check_outputs(scans: Sequence[Image], targets: dict[Image, Path]) -> None:
    scan_at: dict[Path, Path] = {}
    files = [file for scan in scans for file in files_of(scan)]
    for scan in files:
        if real_path(scan) in scan_at:
            raise ValueError(
                f"{scan}: listed twice, also as {scan_at[real_path(scan)]}; "
                "each scan once expected: leave one out"
            )
        scan_at[real_path(scan)] = scan
    taken = {_identity(file) for file in files} - {None}
    scan_to: dict[Path, Path] = {}
    for image, target in targets.items():
        scan = files_of(image)[0]
        if target in scan_to:
            raise ValueError(
                f"{scan_to[target]} and {scan}: the labels of both would be {target}; "
                "one name for each scan expected: rename one, or segment them into two folders"
            )
        scan_to[target] = scan
        if real_path(target) in scan_at or _identity(target) in taken:
            raise ValueError(
                f"{target}: a scan, and the labels of {scan} would replace it; "
                "a new file expected: choose another output"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file, which links share; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
