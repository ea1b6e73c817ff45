"""Scans in NRRD, as 3D Slicer writes them: one file with a text header and the voxels.

The format's fields are described at https://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import re
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

MAGIC = re.compile(rb"NRRD000[1-5]\s*$")
LONGEST = 2**20  # bytes of a header
TYPES = {  # the names of each type, by numpy's
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
DTYPES = {name: dtype for dtype, names in TYPES.items() for name in names}
SPACES = {  # the space of positions, by its name or letters: from there to RAS+
    ("right-anterior-superior", "ras"): np.eye(3),
    ("left-anterior-superior", "las"): np.diag([-1.0, 1.0, 1.0]),
    ("left-posterior-superior", "lps"): LPS_TO_RAS,
}
ENCODINGS = {"raw": "", "gzip": "gzip", "gz": "gzip"}


class NrrdScan(StoredScan):
    """One volume in an NRRD file."""

    def parse(self, stream: BinaryIO) -> StoredVolume:
        """Parse and check the header."""
        fields, start = self._fields(stream)
        self._check_plain(fields)
        shape = numbers(self.path, "sizes", self._field(fields, "sizes"), int)
        kinds = fields.get("kinds", "")
        if len(shape) != 3:
            raise ValueError(
                f"{self.path}: {len(shape)} dimensions {tuple(shape)}, {kinds or 'of unknown kind'} "
                "(expected one 3D volume); extract one first"
            )
        to_ras = self._to_ras(fields)
        axes = to_ras @ self._vectors(fields, "space directions", 3).T
        doubts: tuple[str, ...] = ()
        first = np.zeros(3)
        if "space origin" in fields:
            first = to_ras @ self._vectors(fields, "space origin", 1)[0]
        else:
            doubts = ("no space origin; 0 is used",)
        grid = volume_grid(self.path, shape, axes, first)
        packing = ENCODINGS[fields["encoding"].lower()]
        return StoredVolume(grid, self._dtype(fields), self.path, start, packing, doubts)

    def _fields(self, stream: BinaryIO) -> tuple[dict[str, str], int]:
        """Return the header's fields, and the bytes before the voxels."""
        head = stream.read(LONGEST)
        first, _, _ = head.partition(b"\n")
        if not MAGIC.match(first):
            fault = foreign_kind(head[:256]) or "a file of unknown kind; convert it"
            raise ValueError(f"{self.path}: not an NRRD file but {fault}")
        end = re.search(rb"\r?\n\r?\n", head)
        if not end:
            raise ValueError(f"{self.path}: the header has no end; copy it again")
        lines = head[: end.start()].decode("utf-8", "replace").splitlines()[1:]
        pairs = [line.split(": ", 1) for line in lines if ": " in line and line[0] != "#"]
        return {key.strip().lower(): value.strip() for key, value in pairs}, end.end()

    def _field(self, fields: dict[str, str], key: str) -> str:
        if key not in fields:
            raise ValueError(f"{self.path}: has no {key}; {AGAIN}, with its place in space")
        return fields[key]

    def _check_plain(self, fields: dict[str, str]) -> None:
        """Refuse what lies in other files, is packed otherwise or does not start at once."""
        if "data file" in fields or "datafile" in fields:
            raise ValueError(f"{self.path}: its voxels lie in another file; save it as one file")
        encoding = self._field(fields, "encoding")
        if encoding.lower() not in ENCODINGS:
            raise ValueError(
                f"{self.path}: encoding {encoding!r:.40} (expected raw or gzip); {AGAIN}"
            )
        for key in ("line skip", "lineskip", "byte skip", "byteskip"):
            if fields.get(key, "0") != "0":
                raise ValueError(f"{self.path}: has a {key} (expected none); {AGAIN}")
        units = set(re.findall(r'"([^"]*)"', fields.get("space units", "")))
        if not units <= {"mm", "millimeter", "millimetre", ""}:
            raise ValueError(
                f"{self.path}: the unit of length is {', '.join(sorted(units))} (expected mm); convert it"
            )

    def _to_ras(self, fields: dict[str, str]) -> NDArray[np.float64]:
        space = self._field(fields, "space").lower()
        for names, to_ras in SPACES.items():
            if space in names:
                return to_ras
        raise ValueError(
            f"{self.path}: space {space!r:.40} (expected left-posterior-superior or another of the patient); "
            f"{AGAIN}"
        )

    def _vectors(self, fields: dict[str, str], key: str, count: int) -> NDArray[np.float64]:
        """Parse `count` vectors of three numbers, such as (1,0,0)."""
        vectors = re.findall(r"\(([^)]*)\)", self._field(fields, key))
        rows = [numbers(self.path, key, vector.replace(",", " ")) for vector in vectors]
        if len(rows) != count or any(len(row) != 3 for row in rows):
            raise ValueError(
                f"{self.path}: {key} {fields[key]!r:.60} (expected {count} of 3 numbers); {AGAIN}"
            )
        return np.array(rows, dtype=np.float64)

    def _dtype(self, fields: dict[str, str]) -> np.dtype:
        kind = self._field(fields, "type").lower()
        if kind not in DTYPES:
            raise ValueError(
                f"{self.path}: voxel type {kind!r:.40} (expected one real number per voxel); convert it"
            )
        dtype = np.dtype(DTYPES[kind])
        order = self._field(fields, "endian").lower() if dtype.itemsize > 1 else "little"
        return dtype.newbyteorder(">" if order == "big" else "<")
