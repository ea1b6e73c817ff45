"""Capture of the messages that ITK and its codecs write to the process's stderr.

libjpeg, OpenJPEG and CharLS report damaged voxels only there, by file descriptor and not by `sys.stderr`, and
then decode something all the same: the text is the only sign of the damage, and a user must not see it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import SimpleITK as sitk

_one_at_a_time = threading.Lock()  # ITK's warning display and stderr belong to the whole process


@contextmanager
def captured_stderr(packed: bool) -> Iterator[Callable[[], bytes]]:
    """Keep messages of ITK, and of its codecs where slices are compressed, off the process's stderr.

    Both write there directly. Yields a function that returns the text written since its last call. At the
    end the whole text is passed on, since it may be from another thread, unless there was an error.
    """
    with _one_at_a_time:
        shown = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            if packed:
                with _redirected_stderr() as new_text:
                    yield new_text
            else:
                yield bytes
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)


@contextmanager
def _redirected_stderr() -> Iterator[Callable[[], bytes]]:
    """Redirect the process's stderr to a temporary file, and restore it at the end."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:  # a process without stderr
        yield bytes
        return
    with tempfile.TemporaryFile() as file:
        position = 0

        def new_text() -> bytes:
            nonlocal position
            file.seek(position)
            text = file.read()
            position += len(text)
            return text

        try:
            os.dup2(file.fileno(), 2)
            yield new_text
            file.seek(0)
            rest = file.read()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        if rest:
            os.write(2, rest)
