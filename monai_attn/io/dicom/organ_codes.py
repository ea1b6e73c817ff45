"""Codes of organs in SNOMED CT, by which programs recognise a segment or a contoured structure."""

from __future__ import annotations

SIDES = ("left", "right")
STRUCTURE, TISSUE = ("91723000", "Anatomical Structure"), ("85756007", "Tissue")
ORGANS = {  # SNOMED CT, as in DICOM's context groups
    "adrenal gland": ("23451007", "Adrenal gland"),
    "aorta": ("15825003", "Aorta"),
    "bladder": ("89837001", "Bladder"),
    "colon": ("71854001", "Colon"),
    "duodenum": ("38848004", "Duodenum"),
    "esophagus": ("32849002", "Esophagus"),
    "gallbladder": ("28231008", "Gallbladder"),
    "inferior vena cava": ("64131007", "Inferior vena cava"),
    "kidney": ("64033007", "Kidney"),
    "liver": ("10200004", "Liver"),
    "pancreas": ("15776009", "Pancreas"),
    "portal vein": ("32764006", "Portal vein"),
    "prostate": ("41216001", "Prostate"),
    "small intestine": ("30315005", "Small intestine"),
    "spleen": ("78961009", "Spleen"),
    "stomach": ("69695003", "Stomach"),
}


def organ_codes(name: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the SNOMED CT category and type of a label, each as code and meaning.

    The side of an organ is only in its name.
    """
    words = name.lower().replace("_", " ").split()
    organ = " ".join(word for word in words if word not in SIDES)
    return (STRUCTURE, ORGANS[organ]) if organ in ORGANS else (TISSUE, TISSUE)
