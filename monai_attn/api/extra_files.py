"""The extra files that options of a run ask for; their libraries are imported only then."""

from __future__ import annotations

from monai_attn.runs.extra_files import ExtraFile


def extra_files(*, preview: bool = False) -> tuple[ExtraFile, ...]:
    """Return the kinds of extra files to make of each case.

    Args:
        preview: a picture of the case.
    """
    extras: list[ExtraFile] = []
    if preview:
        from monai_attn.reporting.preview import PREVIEW

        extras.append(PREVIEW)
    return tuple(extras)
