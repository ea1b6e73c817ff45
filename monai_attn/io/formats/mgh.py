"""Scans in FreeSurfer's MGZ and MGH, whose header nibabel parses."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from nibabel.freesurfer.mghformat import DATA_OFFSET, MGHHeader
from nibabel.spatialimages import HeaderDataError

from monai_attn.io.errors import reason
from monai_attn.io.file_kind import foreign_kind
from monai_attn.io.formats.stored import AGAIN, StoredScan, StoredVolume, volume_grid

PLACED = 28  # bytes before the flag that there is a place in space
VERSION = (1).to_bytes(4, "big")  # the first bytes of a file


class MghScan(StoredScan):
    """One volume in an MGZ or MGH file."""

    def parse(self, stream: BinaryIO) -> StoredVolume:
        """Parse and check the header."""
        head = stream.read(DATA_OFFSET)
        if not head.startswith(VERSION):
            fault = foreign_kind(head) or "a file of unknown kind; convert it"
            raise ValueError(f"{self.path}: not an MGZ file but {fault}")
        if len(head) < DATA_OFFSET:
            raise ValueError(
                f"{self.path}: the header is cut short (got {len(head)} bytes, expected {DATA_OFFSET}); "
                "copy it again"
            )
        try:
            header = MGHHeader(head[: MGHHeader.template_dtype.itemsize], check=False)
            dtype = header.get_data_dtype().newbyteorder(">")
        except (HeaderDataError, KeyError, ValueError) as error:
            raise ValueError(
                f"{self.path}: its header is not valid ({reason(error)}); {AGAIN}"
            ) from error
        if head[PLACED : PLACED + 2] != b"\0\1":  # nibabel sets a place where there is none
            raise ValueError(f"{self.path}: its header has no place in space; {AGAIN}, with one")
        shape = [int(n) for n in header["dims"]]
        with np.errstate(all="ignore"):  # absurd numbers are refused with the affine
            affine = np.asarray(header.get_affine(), dtype=np.float64)
        shape = shape[:3] if shape[3] == 1 else shape
        grid = volume_grid(self.path, shape, affine[:3, :3], affine[:3, 3])
        packing = "file" if self.path.suffix.lower() == ".mgz" else ""
        return StoredVolume(grid, dtype, self.path, DATA_OFFSET, packing)
