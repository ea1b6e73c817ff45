"""Opening a bundle, which begins with the import of torch."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from monai_attn.cli.console import complain, err
from monai_attn.cli.light_imports import import_monai

if TYPE_CHECKING:
    from monai_attn.api.model import Model


def open_with_spinner(bundle: str | Sequence[str], device: str = "auto", **options: Any) -> Model:
    """Open a bundle, or several as an ensemble, while a spinner turns: importing torch takes seconds."""
    bundles = [bundle] if isinstance(bundle, str) else bundle
    with err.status(f"opening {', '.join(bundles)}"), without_collection():
        import_monai()
        from monai_attn.api.model import load
        from monai_attn.bundle.folds import members_of

        for one in bundles:
            for member in members_of(one):
                note_code(str(member) if member != one else one)
        return load(bundles, device, **options)


def note_code(bundle: str) -> None:
    """Print a note that a bundle's config is code that will run, unless it is a shipped bundle."""
    from monai_attn.bundle.find import find_bundle, is_shipped

    find_bundle(bundle)
    if not is_shipped(bundle):
        complain("note", f"{bundle}: a bundle's config can run code; only use bundles you trust")


@contextmanager
def without_collection() -> Iterator[None]:
    """Disable garbage collection in a block, and exempt from it the objects that exist afterwards.

    torch and MONAI create a million objects. Searching them for garbage during the import, and again
    when the program ends, takes two seconds.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
