"""A preview of a case: a picture to check its labels by, next to the label map."""

from __future__ import annotations

from pathlib import Path

from monai_attn.io.names import labels_name
from monai_attn.reporting.figures import case_figure, save_figure
from monai_attn.runs.extra_files import ExtraFile, WrittenCase

DESCRIPTION = "monai-attn preview"


def write_preview(case: WrittenCase, path: Path) -> Path:
    """Write the picture of a case: three planes with its labels, and with its attention if it was kept.

    Args:
        case: the scan and the files that the run wrote of it.
        path: the picture, which ends in .png.
    """
    volume = case.volume
    figure = case_figure(
        volume.data,
        case.labels,
        volume.affine,
        title=labels_name(case.target).removesuffix("_seg"),
        names=case.names,
        attention=case.attention,
    )
    return save_figure(figure, path, description=DESCRIPTION)


PREVIEW = ExtraFile("preview", "_preview.png", DESCRIPTION.encode(), write_preview, to_look_at=True)
