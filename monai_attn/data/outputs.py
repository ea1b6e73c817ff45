"""Where the labels of each scan go: to a name of their own, and never over a scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_attn.data.names import LABELS, case_name, real_path, suffix


def output_paths(scans: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Where each scan's labels go; nothing is created.

    Args:
        scans: the scans to segment.
        output: a folder, to which NAME.nii.gz goes as NAME_seg.nii.gz; or, for one scan, a path
            that ends in .nii.gz or .nii, to which its labels go as it stands.

    Returns:
        The path of the labels for each scan, in the order of the scans.

    Raises:
        ValueError: if two scans would share a path, a path is a scan itself, a scan is listed
            twice, or `output` is a file where a folder is needed, or the other way round.
    """
    if suffix(output, LABELS):
        if len(scans) != 1:
            raise ValueError(
                f"{output}: one file for the labels of {len(scans)} scans; "
                "one scan expected: give a folder"
            )
        if output.is_dir():
            raise ValueError(f"{output}: a folder; a file expected by its name: give another name")
        targets = {scans[0]: output}
    else:
        if output.exists() and not output.is_dir():
            raise ValueError(
                f"{output}: a file; a folder, or a name that ends in .nii.gz, expected: "
                "give another output"
            )
        targets = {scan: output / f"{case_name(scan)}_seg.nii.gz" for scan in scans}
    _check_outputs(scans, targets)
    return targets


def _check_outputs(scans: Sequence[Path], targets: dict[Path, Path]) -> None:
    scan_at: dict[Path, Path] = {}
    for scan in scans:
        if real_path(scan) in scan_at:
            raise ValueError(
                f"{scan}: listed twice, also as {scan_at[real_path(scan)]}; "
                "each scan once expected: leave one out"
            )
        scan_at[real_path(scan)] = scan
    taken = {_identity(scan) for scan in scans} - {None}
    scan_to: dict[Path, Path] = {}
    for scan, target in targets.items():
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
    """What a file is on its disk, under whatever name; nothing where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
