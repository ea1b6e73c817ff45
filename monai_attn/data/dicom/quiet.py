"""ITK and its codecs kept off the process's stderr, where both write by themselves."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import SimpleITK as sitk  # noqa: N813 (its own short name)

_alone = threading.Lock()  # what ITK shows, and where to, is a matter of the whole process


@contextmanager
def hushed(packed: bool) -> Iterator[Callable[[], bytes]]:
    """Keep ITK, and where slices are packed their codecs, off the process's stderr.

    Both write there by themselves. Yields a function that returns what was said since its last call. In
    the end all of it is passed on, for it is another thread's, unless there was an error.
    """
    with _alone:
        shown = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            if packed:
                with _stderr_held() as said:
                    yield said
            else:
                yield bytes
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)


@contextmanager
def _stderr_held() -> Iterator[Callable[[], bytes]]:
    """Let the process's stderr lead to a file for a while."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:  # a process without one
        yield bytes
        return
    with tempfile.TemporaryFile() as file:
        taken = 0

        def said() -> bytes:
            nonlocal taken
            file.seek(taken)
            text = file.read()
            taken += len(text)
            return text

        try:
            os.dup2(file.fileno(), 2)
            yield said
            file.seek(0)
            rest = file.read()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        if rest:
            os.write(2, rest)
