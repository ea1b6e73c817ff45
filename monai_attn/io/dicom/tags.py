"""Tags of a DICOM file, found by pydicom and read as text.

Three things differ from `pydicom.dcmread`: a malformed value is no error, so that `slices` can name the tag;
the size of the voxels is compared with that of the file, which pydicom reads to its end in silence; and a
deflated file is inflated up to a limit, as a few kilobytes can hold gigabytes.
"""

from __future__ import annotations

import io
import os
import warnings
import zlib
from collections.abc import Collection
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from monai_attn.io.dicom.files import BIG, DEFLATED, IMPLICIT, DicomFile
from monai_attn.io.errors import reason

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement, RawDataElement

PIXEL_DATA = 0x7FE00010
UNDEFINED = 0xFFFFFFFF  # length of voxels in packets, as of compressed ones
LONGEST = 2**16  # bytes of a tag's value; longer ones are not read
MOST_INFLATED = 2**28  # bytes in a deflated file; the largest slices have a tenth


def read_tags(file: DicomFile, keywords: Collection[str]) -> tuple[dict[str, str], int]:
    """Read tags up to the voxels, and the size of these.

    Args:
        file: the file.
        keywords: the tags' names in the standard, such as "PixelSpacing".

    Returns:
        The text of each tag that is there and not empty, by its keyword; and the bytes of voxels in the
        file, 0 if they are in packets.

    Raises:
        ValueError: if the file cannot be parsed, or ends before the voxels.
    """
    from pydicom.datadict import tag_for_keyword
    from pydicom.filereader import read_dataset

    wanted = {tag: keyword for keyword in keywords if (tag := tag_for_keyword(keyword))}
    voxel_bytes = -1

    def at_voxels(tag: int, _: str | None, length: int) -> bool:
        nonlocal voxel_bytes
        if tag == PIXEL_DATA:
            voxel_bytes = 0 if length == UNDEFINED else min(length, size - stream.tell())
        return tag == PIXEL_DATA

    try:
        with _open(file) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that are never converted
            start, size = stream.tell(), stream.seek(0, os.SEEK_END)
            stream.seek(start)
            elements = read_dataset(
                stream,
                file.syntax == IMPLICIT,
                file.syntax != BIG,
                stop_when=at_voxels,
                defer_size=LONGEST,
                specific_tags=list(wanted),
            )
    except Exception as error:  # a hostile file can raise anything in the parser
        raise ValueError(f"{file.path}: cannot be parsed ({reason(error)})") from error
    if voxel_bytes < 0:
        raise ValueError(f"{file.path}: ends before its voxels")
    texts = {wanted[one.tag]: _text(one) for one in elements.elements() if one.tag in wanted}
    return {keyword: text for keyword, text in texts.items() if text}, voxel_bytes


def _open(file: DicomFile) -> BinaryIO:
    """Open a file at its first tag after the meta information, inflated if it is deflated."""
    stream = file.path.open("rb")
    stream.seek(file.start)
    if file.syntax != DEFLATED:
        return stream
    with stream:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(), MOST_INFLATED)
    return io.BytesIO(inflated)


def _text(element: RawDataElement | DataElement) -> str:
    """Return the value of a tag as text, several parts with backslashes between them."""
    from pydicom.datadict import dictionary_VR

    value = element.value
    if not isinstance(value, bytes):  # a sequence, or too long
        return ""
    if dictionary_VR(element.tag) == "US":
        order = "<" if getattr(element, "is_little_endian", True) else ">"
        numbers = np.frombuffer(value[: len(value) // 2 * 2], f"{order}u2")
        return "\\".join(str(number) for number in numbers)
    return value.decode("latin-1").strip(" \0")
