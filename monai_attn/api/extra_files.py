"""The extra files that options of a run ask for; their libraries are imported only then."""

from __future__ import annotations

from monai_attn.runs.extra_files import ExtraFile


def extra_files(
    *,
    preview: bool = False,
    scene: bool = False,
    statistics: bool = False,
    rtstruct: bool = False,
) -> tuple[ExtraFile, ...]:
    """Return the kinds of extra files to make of each case.

    Args:
        preview: a picture of the case.
        scene: a scene for 3D Slicer and a workspace for ITK-SNAP.
        statistics: the statistics of each label.
        rtstruct: the contours of each label, for a DICOM series.
    """
    extras: list[ExtraFile] = []
    if statistics:
        from monai_attn.runs.statistics import STATISTICS

        extras.append(STATISTICS)
    if preview:
        from monai_attn.reporting.preview import PREVIEW

        extras.append(PREVIEW)
    if scene:
        from monai_attn.reporting.scene import SCENE

        extras.extend(SCENE)
    if rtstruct:
        from monai_attn.runs.dicom_files import RTSTRUCT

        extras.append(RTSTRUCT)
    return tuple(extras)
