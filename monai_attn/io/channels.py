"""Images of several channels: a scan for each channel, all on one grid.

The channels of a case lie in a file each, or in one file with four dimensions, the channel as the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.affine import spaced
from monai_attn.io.files import sha256_of
from monai_attn.io.grid import Grid, grid_offset, same_grid
from monai_attn.io.names import case_name
from monai_attn.io.nifti.voxels import nifti_header
from monai_attn.io.scan import NiftiScan, Scan, open_scan

Image = Path | tuple[Path, ...]  # the image of a case: its file, or a file for each channel


def files_of(image: object) -> tuple[Path, ...]:
    """Return the files of a case's image: one, or one for each channel.

    Example:
        >>> [str(file) for file in files_of(["a_0000.nii.gz", "a_0001.nii.gz"])]
        ['a_0000.nii.gz', 'a_0001.nii.gz']
    """
    several = image if isinstance(image, (list, tuple)) else (image,)
    return tuple(Path(file) for file in several)


def as_image(image: object) -> Image:
    """Return a case's image as a key: a path, or a tuple of paths if it has several files."""
    files = files_of(image)
    return files[0] if len(files) == 1 else files


class ChannelScan(Scan):
    """The scans of a case's channels. As one scan it is the first channel, which pictures show.

    Args:
        channels: a scan of one channel each, in their order; at least one.
        names: the name of each channel, if they are known.
    """

    def __init__(self, channels: Sequence[Scan], names: Sequence[str] = ()) -> None:
        super().__init__(channels[0].path)
        self._channels = tuple(channels)
        self.names = tuple(names)
        for channel in self._channels:
            if channel.path == self.path:  # volumes of one file, with the same doubts about it
                channel._given = self._channels[0]._given

    @property
    def channels(self) -> tuple[Scan, ...]:
        """The scan of each channel."""
        return self._channels

    @cached_property
    def grid(self) -> Grid:
        """Grid of all channels.

        Raises:
            ValueError: as `Scan.grid`; and if a channel is not on the grid of the first.
        """
        first = self._channels[0].grid
        for channel in self._channels[1:]:
            _check_grid(channel.grid, first)
        return first

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of all channels, each once."""
        return tuple(dict.fromkeys(file for channel in self._channels for file in channel.files))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the files, or of the channels' own digests if they are in memory."""
        if self.files:
            return sha256_of(*self.files)
        return sha256("".join(channel.sha256 for channel in self._channels).encode()).hexdigest()

    def _read(self, fill: float | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        return self._channels[0]._read(fill)


def open_channels(files: Sequence[str | Path], names: Sequence[str]) -> Scan:
    """Open the image of a case whose channels are known.

    Args:
        files: a file or DICOM folder for each channel, in their order; or one file with four dimensions.
        names: the name of each channel.

    Raises:
        ValueError: one line that names the files, if there are more or fewer channels, or as `open_scan`.
    """
    if len(files) == len(names) == 1:
        return open_scan(files[0])
    if len(files) == 1:
        found = count_volumes(files[0])
        if found == len(names):
            path = Path(files[0])
            return ChannelScan([NiftiScan(path, number) for number in range(found)], names)
        raise wrong_channels(files[0], found, names)
    if len(files) != len(names):
        raise wrong_channels(files[0], len(files), names, [Path(file).name for file in files])
    return ChannelScan([open_scan(file) for file in files], names)


def open_image(image: object) -> Scan:
    """Open the image of a case with all its channels, however many it has.

    Args:
        image: a file or DICOM folder, or one for each channel.

    Raises:
        ValueError: as `open_scan`.
    """
    files = files_of(image)
    if len(files) > 1:
        return ChannelScan([open_scan(file) for file in files])
    volumes = count_volumes(files[0])
    if volumes == 1:
        return open_scan(files[0])
    return ChannelScan([NiftiScan(files[0], number) for number in range(volumes)])


def channel_files(scan: Scan) -> dict[str, str]:
    """Return the file of each channel by its name, for the record of a run; empty for a single channel.

    A name that several channels have gets a number.
    """
    if not isinstance(scan, ChannelScan):
        return {}
    files: dict[str, str] = {}
    for name, part in zip(scan.names, scan.channels, strict=True):
        number = 1 + sum(1 for other in files if re.fullmatch(rf"{re.escape(name)}( \d+)?", other))
        files[f"{name} {number}" if number > 1 else name] = str(part.path)
    return files


def count_volumes(path: str | Path) -> int:
    """Count the volumes of a scan from its header: channels, if it is the image of a case."""
    scan = open_scan(path)
    return nifti_header(scan.path).volumes if isinstance(scan, NiftiScan) else 1


def wrong_channels(
    path: str | Path, found: int, names: Sequence[str], given: Iterable[str] = ()
) -> ValueError:
    """Return the error of an image with more or fewer channels than a network takes."""
    listed = ", ".join(given)
    got = f"{found}: {listed}" if listed else str(found)
    if len(names) == 1:
        return ValueError(
            f"{path}: wrong number of channels (got {got}, expected 1: {names[0]}). Give one scan of one "
            "channel, or choose a bundle for these channels."
        )
    last = len(names) - 1
    return ValueError(
        f"{path}: wrong number of channels (got {got}, expected {len(names)}: {', '.join(names)}, in this "
        f"order). Give a file for each, named CASE_0000 to CASE_{last:04d}, or one file with four dimensions."
    )


def _check_grid(grid: Grid, first: Grid) -> None:
    if grid.shape == first.shape and same_grid(grid.shape, grid.affine, first.affine):
        return
    if grid.shape != first.shape:
        fault = f"got {_by(grid.shape)} voxels, expected {_by(first.shape)}"
    else:
        apart = grid_offset(grid.shape, grid.affine, first.affine)
        sizes = spaced(np.linalg.norm(first.affine[:3, :3], axis=0))
        fault = f"up to {apart:.3g} mm away, with voxels of {sizes} mm"
    raise ValueError(
        f"{grid.path}: is not on the grid of {first.path}, the first channel of {case_name(first.path)} "
        f"({fault}). Resample it onto that grid."
    )


def _by(shape: Iterable[int]) -> str:
    return " x ".join(str(n) for n in shape)
