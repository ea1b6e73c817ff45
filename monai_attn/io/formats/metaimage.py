"""Scans in MetaImage: .mha in one file, or .mhd with the voxels in another file.

The format's fields are described at https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.file_kind import foreign_kind
from monai_attn.io.formats.stored import (
    AGAIN,
    LPS_TO_RAS,
    StoredScan,
    StoredVolume,
    numbers,
    volume_grid,
)

MOST_LINES = 1000
LONGEST = 2**16  # bytes of a line
DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
PLAIN = {  # fields that may only have this value
    "BinaryData": "true",
    "ElementNumberOfChannels": "1",
    "HeaderSize": "0",
    "ElementToIntensityFunctionSlope": "1",
    "ElementToIntensityFunctionOffset": "0",
}


class MetaImageScan(StoredScan):
    """One volume in a MetaImage file, or in a pair of files."""

    def parse(self, stream: BinaryIO) -> StoredVolume:
        """Parse and check the header."""
        fields, start = self._fields(stream)
        for key, value in PLAIN.items():
            if fields.get(key, value).lower() != value:
                raise ValueError(
                    f"{self.path}: {key} is {fields[key]!r:.40} (expected {value}); {AGAIN}"
                )
        if fields.get("DistanceUnits", "mm") not in ("mm", "?", "UNKNOWN"):
            raise ValueError(
                f"{self.path}: the unit of length is {fields['DistanceUnits']:.20} (expected mm); convert it"
            )
        shape = numbers(self.path, "DimSize", self._field(fields, "DimSize"), int)
        axes, first, doubts = self._place(fields, len(shape))
        grid = volume_grid(self.path, shape, axes, first)
        packed = fields.get("CompressedData", "false").lower() == "true"
        file, start = self._data_file(fields["ElementDataFile"], start)
        return StoredVolume(grid, self._dtype(fields), file, start, "zlib" * packed, doubts)

    def _fields(self, stream: BinaryIO) -> tuple[dict[str, str], int]:
        """Return the header's fields, and the bytes before what follows it."""
        head = stream.read(256)
        stream.seek(0)
        if not any(head.lstrip().startswith(key) for key in (b"ObjectType", b"NDims", b"Comment")):
            fault = foreign_kind(head) or "a file of unknown kind; convert it"
            raise ValueError(f"{self.path}: not a MetaImage file but {fault}")
        fields: dict[str, str] = {}
        for _ in range(MOST_LINES):
            line = stream.readline(LONGEST)
            key, _, value = line.decode("utf-8", "replace").partition("=")
            fields[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                return fields, stream.tell()
            if not line:
                break
        raise ValueError(f"{self.path}: the header has no ElementDataFile; copy it again")

    def _field(self, fields: dict[str, str], key: str) -> str:
        if key not in fields:
            raise ValueError(f"{self.path}: has no {key}; {AGAIN}, with its place in space")
        return fields[key]

    def _place(
        self, fields: dict[str, str], dimensions: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
        """Return the axes in RAS+ mm, the position of the first voxel, and doubts."""
        doubts = []

        def values(keys: tuple[str, ...], default: list[float]) -> list[float]:
            key = next((key for key in keys if key in fields), "")
            if not key:
                doubts.append(f"no {keys[0]}; left and right are a guess; {AGAIN}")
                return default
            found = numbers(self.path, key, fields[key])
            if dimensions == 3 and len(found) != len(default):
                raise ValueError(
                    f"{self.path}: {key} {fields[key]!r:.60} (expected {len(default)} numbers); {AGAIN}"
                )
            return found

        if dimensions != 3:
            return np.eye(3), np.zeros(3), ()  # refused with its shape
        self._field(fields, "ElementSpacing")
        spacing = values(("ElementSpacing",), [1.0] * 3)
        if not min(spacing) > 0:
            raise ValueError(
                f"{self.path}: ElementSpacing {fields['ElementSpacing']!r:.60} (expected above 0); {AGAIN}"
            )
        axes = values(("TransformMatrix", "Rotation", "Orientation"), np.eye(3).ravel().tolist())
        first = values(("Offset", "Position", "Origin"), [0.0] * 3)
        # each line of three is the direction of an axis, in LPS+
        directions = np.reshape(axes, (3, 3)).T * spacing
        return LPS_TO_RAS @ directions, LPS_TO_RAS @ np.array(first), tuple(doubts)

    def _data_file(self, name: str, start: int) -> tuple[Path, int]:
        """Return the file of the voxels and the bytes before them."""
        if name.upper() == "LOCAL":
            return self.path, start
        if name.upper().startswith("LIST") or "%" in name:
            raise ValueError(f"{self.path}: a file for each slice; save it as one file")
        if Path(name).name != name or name in ("", "..") or "\0" in name:
            raise ValueError(
                f"{self.path}: its voxels lie in another folder ({name!r:.60}); put both files into one"
            )
        file = self.path.with_name(name)
        if not file.exists():
            raise ValueError(f"{self.path}: {name} is missing next to it; copy both files")
        return file, 0

    def _dtype(self, fields: dict[str, str]) -> np.dtype:
        kind = self._field(fields, "ElementType")
        if kind not in DTYPES:
            raise ValueError(
                f"{self.path}: voxel type {kind:.40} (expected one real number per voxel); convert it"
            )
        orders = [fields.get(key, "") for key in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")]
        big = any(order.lower() == "true" for order in orders)
        return np.dtype(DTYPES[kind]).newbyteorder(">" if big else "<")
