"""Channels of the images of a data set: their names, and how the intensities of each are scaled.

As in nnU-Net the name of a channel decides: CT is scaled by a window in HU, all others by their own mean
and standard deviation, within the voxels above and below 0 if images are mostly 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from monai_attn.datasets.datalist import Case, read_json
from monai_attn.io.channels import count_volumes, files_of
from monai_attn.io.errors import Faults

ZSCORE, NONZERO, PERCENTILES, NONE = "zscore", "zscore_nonzero", "percentiles", "none"
SCALINGS = (ZSCORE, NONZERO, PERCENTILES, NONE)
CT_NAME = re.compile(
    r"ct(?![a-z])", re.IGNORECASE
)  # CT, CT_arterial, CT 2; not CTA, which may be anything
FILLED = (
    0.75  # of an image within the box of its voxels that are not 0; the same limit as in nnU-Net
)
NO_SCALING = {"nonorm": NONE}  # names that nnU-Net gives a meaning of its own


@dataclass(frozen=True)
class Channel:
    """One channel of an image.

    Attributes:
        name: its name, such as CT, T1 or PET.
        scaling: (lowest, highest) HU, which become 0 and 1; or "zscore", "zscore_nonzero", "percentiles" or
            "none". None until it is chosen.
    """

    name: str
    scaling: str | tuple[float, float] | None = None

    @property
    def is_hu(self) -> bool:
        """True if its values are Hounsfield units."""
        return isinstance(self.scaling, tuple)

    @property
    def may_be_hu(self) -> bool:
        """True if its values are Hounsfield units, or will be by its name."""
        return self.is_hu or (self.scaling is None and is_ct(self.name))

    def content(self) -> dict[str, Any]:
        """Return the channel in the form in which configs hold it."""
        scaling = list(self.scaling) if isinstance(self.scaling, tuple) else self.scaling
        return {"name": self.name} | ({} if scaling is None else {"scaling": scaling})

    def __str__(self) -> str:
        """Return the name with the scaling, such as `CT (-100 to 300 HU)`."""
        if isinstance(self.scaling, tuple):
            return f"{self.name} ({self.scaling[0]:g} to {self.scaling[1]:g} HU)"
        return f"{self.name} ({self.scaling or 'scaling not chosen'})"


CT = Channel("CT", (0.0, 250.0))  # that of a bundle without channels; its window is set elsewhere


def read_channels(value: Any) -> tuple[Channel, ...]:
    """Read the channels in a config, or in the texts of an option.

    Args:
        value: for each channel `{"name": ..., "scaling": ...}`, or a text such as `T1`, `T2=percentiles` or
            `CT=-100,300`; None for none.

    Raises:
        ValueError: if it has another form, or a scaling is unknown.

    Example:
        >>> read_channels(["CT=-100,300", {"name": "PET", "scaling": "zscore"}])
        (Channel(name='CT', scaling=(-100.0, 300.0)), Channel(name='PET', scaling='zscore'))
    """
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(
            f"channels (={value!r:.60}) must be a list with a name, or a name and a scaling, for each channel"
        )
    return tuple(_channel(entry) for entry in value)


def declared_channels(source: str | Path) -> tuple[str, ...]:
    """Read the names of the channels that a data set's JSON file declares; none if it declares none.

    Args:
        source: a folder, or a JSON file. nnU-Net writes `channel_names`, the Decathlon `modality`, each as
            `{"0": "T1", "1": "T2"}`; a list of names is taken too.

    Raises:
        ValueError: if there are no names, or their numbers are not 0, 1, 2 and so on.
    """
    path = Path(source)
    file = path / "dataset.json" if path.is_dir() else path
    if file.suffix != ".json" or not file.is_file():
        return ()
    content = read_json(file)
    if not isinstance(content, dict):
        return ()
    key = next((key for key in ("channel_names", "modality") if key in content), None)
    if key is None:
        return ()
    given = content[key]
    if isinstance(given, list):
        given = {str(number): name for number, name in enumerate(given)}
    sound = (
        isinstance(given, dict)
        and sorted(given) == sorted(str(number) for number in range(len(given)))
        and all(isinstance(name, str) and name.strip() for name in given.values())
    )
    if not sound:
        raise ValueError(
            f"{file}: invalid {key} (got {given!r:.60}, expected a name for each channel, such as "
            '{"0": "T1", "1": "T2"}). Correct the file.'
        )
    return tuple(given[str(number)] for number in range(len(given)))


def count_channels(cases: Sequence[Case]) -> int:
    """Count the channels of a data set's images, which are as many in each case.

    A file that cannot be read does not count: the check of all cases names it, together with other faults.

    Raises:
        Faults: a line for each case with another number than the first.
    """
    counts: list[tuple[Path, int]] = []
    for case in cases:
        files = files_of(case["image"])
        with suppress(ValueError, OSError):
            found = count_volumes(files[0]) if len(files) == 1 else len(files)
            counts.append((files[0], found))
    first, count = counts[0] if counts else (None, 1)
    faults = [
        f"{file}: another number of channels (got {other}, expected {count} as {first}). Add or remove "
        "channels, or leave out the case."
        for file, other in counts
        if other != count
    ]
    if faults:
        raise Faults(*faults)
    return count


def name_channels(
    source: str | Path, cases: Sequence[Case], given: Sequence[Channel], own: Sequence[Channel]
) -> tuple[tuple[Channel, ...], tuple[str, ...]]:
    """Name the channels of a data set: as the user does, or the data set, or the bundle.

    Args:
        source: the data set.
        cases: its cases.
        given: the channels that the user names; none by default.
        own: the channels of the bundle; none for a single CT.

    Returns:
        The channels, none for a single CT that the bundle's own settings scale; and doubts, a line each.

    Raises:
        ValueError: if the number or the order of the channels is not that of the images.
        Faults: as `count_channels`.
    """
    count, declared = count_channels(cases), declared_channels(source)
    if given:
        _check_count(source, count, [channel.name for channel in given], "are named")
        return tuple(given), ()
    if declared:
        _check_count(source, count, declared, "are declared")
    alike = not declared or [is_ct(name) for name in declared] == [one.is_hu for one in own]
    if len(own) == count and alike:
        return tuple(own), _other_names(source, declared, own)
    if declared:
        channels = tuple(Channel(name) for name in declared)
        return (() if count == 1 and is_ct(declared[0]) and not own else channels), ()
    if count == 1 and not own:
        return (), ()
    names = ("CT",) if count == 1 else tuple(f"channel {number}" for number in range(count))
    doubt = (
        f"{source}: does not name its {count} channels, so that none is known to be CT. Name them in "
        "channel_names of its JSON file, or choose them by channels."
    )
    return tuple(Channel(name) for name in names), ((doubt,) if count > 1 else ())


def scale_channels(
    channels: Sequence[Channel], filled: Sequence[float], window: Sequence[float] | None = None
) -> tuple[Channel, ...]:
    """Choose the scaling of the channels that have none, by their names.

    Args:
        channels: the channels.
        filled: of each case, the part of the image within the box of the voxels that are not 0.
        window: the lowest and the highest HU for channels that are CT; without it their scaling stays open.
    """
    zscore = NONZERO if filled and median(filled) < FILLED else ZSCORE
    hu = (float(window[0]), float(window[1])) if window else None
    return tuple(
        channel
        if channel.scaling is not None
        else replace(channel, scaling=_scaling(channel.name, hu, zscore))
        for channel in channels
    )


def is_ct(name: str) -> bool:
    """Check whether a channel's name says that it is CT in HU."""
    return CT_NAME.match(name) is not None


def _scaling(
    name: str, window: tuple[float, float] | None, zscore: str
) -> str | tuple[float, float] | None:
    return window if is_ct(name) else NO_SCALING.get(name.casefold(), zscore)


def _channel(entry: Any) -> Channel:
    if isinstance(entry, Channel):
        return entry
    if isinstance(entry, str):
        name, equals, text = (part.strip() for part in entry.partition("="))
        scaling: Any = [*text.split(",")] if "," in text else text if equals else None
    elif isinstance(entry, Mapping) and set(entry) <= {"name", "scaling"}:
        name, scaling = entry.get("name", ""), entry.get("scaling")
    else:
        name, scaling = "", None
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"channel {entry!r:.60}: no name. Write it like T1, T2=percentiles or CT=-100,300."
        )
    if scaling is None or (isinstance(scaling, str) and scaling in SCALINGS):
        return Channel(name, scaling)
    try:
        low, high = (float(end) for end in scaling)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (isinstance(scaling, (list, tuple)) and low < high):
        raise ValueError(
            f"channel {name}: invalid scaling (got {scaling!r:.40}, expected {', '.join(SCALINGS)}, or the "
            "lowest and the highest HU). Write it like T2=percentiles or CT=-100,300."
        )
    return Channel(name, (low, high))


def _check_count(source: str | Path, count: int, names: Sequence[str], verb: str) -> None:
    if len(names) != count:
        raise ValueError(
            f"{source}: images have {count} channel{'s' * (count > 1)}, but {len(names)} {verb} "
            f"({', '.join(names)}). Name each channel, in the order of the files."
        )


def _other_names(
    source: str | Path, declared: Sequence[str], own: Sequence[Channel]
) -> tuple[str, ...]:
    """Refuse the bundle's channels in another order, and return a doubt about other names."""
    names = [channel.name for channel in own]
    given, expected = ([name.casefold() for name in some] for some in (declared, names))
    if not declared or given == expected:
        return ()
    if sorted(given) == sorted(expected):
        raise ValueError(
            f"{source}: another order of channels than the bundle's (got {', '.join(declared)}, expected "
            f"{', '.join(names)}). Rename the files and channel_names, or start from another bundle."
        )
    return (
        f"{source}: its channels {', '.join(declared)} are taken for {', '.join(names)} of the bundle, in "
        "this order. Check that they are.",
    )
