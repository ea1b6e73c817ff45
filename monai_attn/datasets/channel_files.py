"""Files of one channel each that belong to one case: `CASE_0000`, `CASE_0001` and so on, as in nnU-Net."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from monai_attn.io.channels import Image, as_image, count_volumes, wrong_channels
from monai_attn.io.errors import Faults
from monai_attn.io.names import case_name, suffix

CHANNEL = re.compile(r"_(\d{4})$")


def channel_of(path: Path) -> tuple[str, int] | None:
    """Return the case and the number of the channel in a file's name; None if it has no such number.

    Example:
        >>> channel_of(Path("brain_07_0001.nii.gz"))
        ('brain_07', 1)
    """
    name = case_name(path)
    found = CHANNEL.search(name)
    return (name[: found.start()], int(found[1])) if found else None


def join_channels(
    images: Sequence[Image], names: Sequence[str], *, whole: bool = True
) -> list[Image]:
    """Join the files of each case to one image of several channels.

    A file with four dimensions is a case by itself. Any other whose name ends in a number of four digits is
    that channel of the case before the number. If there are exactly as many files as channels, and no name
    ends in such a number, they are the channels of one case, in the given order.

    Args:
        images: files as listed, of any number of cases; those that are joined already stay.
        names: the name of each channel, two or more.
        whole: look into files for a fourth dimension; else only names count.

    Raises:
        Faults: a line for each channel that is missing, and each file that is no channel.
    """
    cases: dict[tuple[Path, str], dict[int, Path]] = {}
    joined: dict[object, Image] = {}
    loose: list[Path] = []
    for image in images:
        if isinstance(image, tuple) or (whole and not image.is_dir() and count_volumes(image) > 1):
            joined[image] = image
        elif (found := channel_of(image)) is not None:
            key = (image.parent, found[0])
            cases.setdefault(key, {})[found[1]] = image
            joined.setdefault(key, image)  # in its place in the list
        else:
            loose.append(image)
            joined[image] = image
    faults: list[str] = []
    for key, files in cases.items():
        faults += channel_faults(key[1], files, names)
        joined[key] = as_image([files[number] for number in sorted(files)])
    if faults:
        raise Faults(*faults)
    if len(loose) == len(names) == len(images):
        return [as_image(loose)]
    if loose:
        raise Faults(*(str(wrong_channels(path, 1, names)) for path in loose))
    return list(joined.values())


def channel_faults(case: str, files: dict[int, Path], names: Sequence[str]) -> list[str]:
    """Return a line for each channel of a case that is missing, and each file of a further channel.

    Args:
        case: name of the case.
        files: its files, by the number of the channel; at least one.
        names: the name of each channel.
    """
    some = next(iter(files.values()))
    faults = [
        f"{some.with_name(f'{case}_{number:04d}{suffix(some)}')}: does not exist, so that case {case} lacks "
        f"channel {number}, {names[number]} (expected {len(names)} channels: {', '.join(names)}). Add it, or "
        "leave out the case."
        for number in range(len(names))
        if number not in files
    ]
    faults += [
        f"{file}: channel {number} in its name (expected 0 to {len(names) - 1}: {', '.join(names)}). Name "
        "all channels, or remove the file."
        for number, file in files.items()
        if number >= len(names)
    ]
    return faults
