"""Opening a bundle, which begins with the import of torch."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from monai_attn.cli.console import complain, err

if TYPE_CHECKING:
    from monai_attn.bundle import Bundle


def open_with_spinner(
    bundle: str, device: str = "auto", memory: str | None = None, **options: Any
) -> Bundle:
    """Open a bundle while a spinner turns: importing torch takes seconds."""
    with err.status(f"opening {bundle}"), without_collection():
        from monai_attn.bundle import open_bundle
        from monai_attn.inference.plan import parse_memory

        note_code(bundle)
        budget = parse_memory(memory) if memory else None
        return open_bundle(bundle, device, memory=budget, **options)


def note_code(bundle: str) -> None:
    """Say of a bundle that is none of ours, if it is one, what opening it means."""
    from monai_attn.bundle import find_bundle, is_shipped

    find_bundle(bundle)
    if not is_shipped(bundle):
        complain("note", f"{bundle}: a bundle's config is code, and runs; open those you trust")


@contextmanager
def without_collection() -> Iterator[None]:
    """No search for garbage among what stays.

    torch and MONAI are a million objects. Looking through them while they are imported, and again when
    the program ends, takes two seconds.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
