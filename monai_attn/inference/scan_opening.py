"""Opening of a scan for a network: its channels must be those that the network takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai.transforms import Compose

from monai_attn.datasets.channels import CT, Channel
from monai_attn.io.channels import ChannelScan, open_channels, wrong_channels
from monai_attn.io.errors import OptionError
from monai_attn.io.scan import Scan, VolumeScan, open_scan
from monai_attn.io.volume import Volume
from monai_attn.transforms.scaling import ScaleChannelsd

Source = str | Path | Scan | Volume | Sequence[str | Path | Volume]


def open_source(
    source: Source,
    channels: Sequence[Channel],
    *,
    volume: int | None = None,
    series: str | None = None,
) -> Scan:
    """Open a scan, or the scans of its channels; an open one is returned as it is.

    Args:
        source: a file, a folder with a DICOM series, an open scan, a volume in memory, or a sequence with a
            file or a volume for each channel.
        channels: the channels that the network takes.
        volume: index of the volume, from 0, in a file that holds several; for a network of one channel.
        series: the SeriesInstanceUID, in a DICOM folder that holds several; likewise.

    Raises:
        ValueError: as `open_scan` and `open_channels`.
    """
    names = [channel.name for channel in channels]
    several = source if isinstance(source, Sequence) and not isinstance(source, str) else [source]
    if len(several) == 1 and isinstance(several[0], Scan):
        return _of_channels(several[0], names)
    volumes = [VolumeScan(one) for one in several if isinstance(one, Volume)]
    if volumes:
        for option, value in (("volume", volume), ("series", series)):
            if value is not None:
                raise OptionError(f"{volumes[0].path}: is an image in memory. Leave out ", option)
        opened = volumes[0] if len(several) == 1 else ChannelScan(volumes, names)
        return _of_channels(opened, names)
    files = [Path(one) for one in several if isinstance(one, (str, Path))]
    if len(files) == len(names) == 1:
        return open_scan(files[0], volume=volume, series=series)
    if volume is not None:
        raise OptionError(
            f"{files[0]}: its volumes are the channels {', '.join(names)}. Leave out ", "volume"
        )
    return open_channels(files, names)


def channels_of(preprocessing: Compose) -> tuple[Channel, ...]:
    """Return the channels that a network takes: one CT, unless its preprocessing names them."""
    for step in preprocessing.transforms:
        if isinstance(step, ScaleChannelsd):
            return step.channels
    return (CT,)


def _of_channels(scan: Scan, names: Sequence[str]) -> Scan:
    if len(scan.channels) != len(names):
        raise wrong_channels(scan.path, len(scan.channels), names)
    return scan
