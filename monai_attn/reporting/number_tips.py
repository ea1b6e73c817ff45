"""Meaning of each number of a report, in a sentence, by the head of its column."""

from __future__ import annotations

STATUS = {
    "segmented": "The label map was written, and its labels are within what is expected.",
    "check": "The label map was written, but its labels are not what is expected: look at it.",
    "incomplete": "Some files of the case are missing.",
    "kept": "The label map is from an earlier run, and was kept.",
    "failed": "No label map could be written.",
    "not run": "The run ended before this case.",
}
INTERVAL = "The range next to it is an interval around the volume."
WINDOWS = "Which windows of the scan the network saw, and how many."
TIPS = {
    "Case": "Name of the scan.",
    "Status": "What became of the case.",
    "Mode": "Whether all windows of the scan ran, or only those that the locator chose.",
    "Time": "Seconds that the case took, with reading and writing.",
    "Remarks": "Reasons and warnings of the case.",
    "Reading": "Your verdict and comment.",
    "Dice": "Overlap with the reference: 2 x common volume / sum of both volumes; 1 is complete, 0 is none.",
    "precision": "Share of the labelled volume that is in the reference.",
    "recall": "Share of the reference's volume that is labelled.",
    "MSD, mm": "Mean distance between the surfaces of labels and reference.",
    "HD95, mm": "Distance between the surfaces that 95 % of their points keep within.",
    "NSD 2 mm": "Share of both surfaces that are within 2 mm of each other.",
    "reference, ml": "Volume of the label in the reference.",
    "error, ml": "Volume of the label in the result, less that in the reference.",
    "level": "Level of the gate in the network; 1 is the finest.",
    "mean": "Mean attention, 0 to 1, where a window looked.",
    "in labels": "Mean attention in the labelled voxels.",
    "elsewhere": "Mean attention in all other voxels that a window looked at.",
    "looked at": "Share of the scan's voxels that a window looked at.",
    "below 0.01": "Share of the voxels looked at with attention below 0.01: shut.",
    "above 0.99": "Share of the voxels looked at with attention above 0.99: fully open.",
    "entropy, bits": "Mean entropy of the attention: 0 where it is 0 or 1, 1 where it is 0.5.",
    "volume, ml": "Volume of the label in the label map.",
    "from": "Lower end of the interval around the volume, ml.",
    "to": "Upper end of the interval around the volume, ml.",
    "made to hold": "How often such intervals hold the true volume.",
    "label": "Name of the label.",
    "stage": "Stages of the segmentation.",
}


def tip_of(title: str, unit: str = "") -> str:
    """Return the meaning of the numbers below a head of a table, or an empty text.

    Example:
        >>> tip_of("pancreas", "ml")
        'Volume of pancreas in the label map, ml. The range next to it is an interval around the volume.'
    """
    if title in TIPS:
        return TIPS[title]
    if unit == "ml":
        return f"Volume of {title} in the label map, ml. {INTERVAL}"
    if title.startswith("Dice "):
        return f"{title.removeprefix('Dice ')}: {TIPS['Dice']}"
    if title.startswith("share in "):
        return f"Share of all attention that is in {title.removeprefix('share in ')}."
    return ""
