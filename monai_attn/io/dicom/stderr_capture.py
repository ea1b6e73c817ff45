"""Capture of the messages that ITK and its codecs write to the process's stderr."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import SimpleITK as sitk

_alone = threading.Lock()  # ITK's warning display and stderr belong to the whole process


@contextmanager
def captured_stderr(packed: bool) -> Iterator[Callable[[], bytes]]:
    """Keep messages of ITK, and of its codecs where slices are compressed, off the process's stderr.

    Both write there directly. Yields a function that returns the text written since its last call. At the
    end the whole text is passed on, since it may be from another thread, unless there was an error.
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
    """Redirect the process's stderr to a temporary file, and restore it at the end."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:  # a process without stderr
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
