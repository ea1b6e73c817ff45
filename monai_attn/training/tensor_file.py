"""Writing of tensors, with the fault of the disk as its error."""

from __future__ import annotations

from typing import IO, Any, BinaryIO, cast

import torch


class _Remembering:
    """A file for `torch.save` that remembers why it could not be written to."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.fault: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.fault = error
            raise

    def flush(self) -> None:
        self.file.flush()


def save_tensors(content: Any, file: BinaryIO) -> None:
    """Write tensors as `torch.save` does.

    torch raises a `RuntimeError` about positions in its archive where the disk is full (torch 2.13).

    Raises:
        OSError: if the file cannot be written to.
    """
    target = _Remembering(file)
    try:
        torch.save(content, cast("IO[bytes]", target))
    except RuntimeError:
        if target.fault:
            raise target.fault from None
        raise
