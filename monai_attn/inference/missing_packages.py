"""Packages that Python refuses to import for a while, as if they were not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def missing_packages(*names: str) -> Iterator[None]:
    """Let Python refuse to import packages in a block; what was imported before is there again afterwards."""
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None refuses the import
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)
