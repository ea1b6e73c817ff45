"""MONAI's AutoRunner picks up the algorithm template, trains its folds and ensembles them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_attn.phantom import write_phantoms
from tests.clients.client import ROOT, CheckFailed, Client, Place

EXAMPLE = ROOT / "docs" / "examples" / "auto3dseg" / "run.py"
FOLDS = 2
TRAINED = 4  # cases, in two folds
EPOCHS = 8


def auto_runner_trains_and_ensembles(place: Place) -> str:
    """Analyse phantoms, generate the folds, train them, and predict a further phantom with the ensemble."""
    data, work = place.work / "data", place.work / "run"
    write_phantoms(data, TRAINED + 1, shape=(40, 36, 20), spacing=(9.0, 9.0, 12.0))
    names = sorted(path.name for path in (data / "imagesTr").glob("*.nii.gz"))
    cases = [
        {"image": f"imagesTr/{name}", "label": f"labelsTr/{name}", "fold": number % FOLDS}
        for number, name in enumerate(names[:-1])
    ]
    listed = {"training": cases, "testing": [{"image": f"imagesTr/{names[-1]}"}]}
    (data / "datalist.json").write_text(json.dumps(listed))
    source = {"modality": "CT", "datalist": str(data / "datalist.json"), "dataroot": str(data)}
    source["class_names"] = ["pancreas"]
    (place.work / "input.json").write_text(json.dumps(source))
    printed = place.run("python", EXAMPLE, place.work / "input.json", work, EPOCHS)
    if "Auto3Dseg pipeline is completed successfully" not in printed:
        raise CheckFailed("AutoRunner did not say that it ended well")
    bundles = [work / f"attentionunet_{fold}" / "model" for fold in range(FOLDS)]
    scores = [json.loads((bundle / "eval" / "scores.json").read_text()) for bundle in bundles]
    dices = ", ".join(f"{score['mean']['1']['dice'] or 0:.2f}" for score in scores)
    (file,) = (work / "ensemble_output").rglob("*.nii.gz")
    scan = data / "imagesTr" / names[-1]
    found, on = nib.load(file), nib.load(scan)
    if found.shape != on.shape or not np.allclose(found.affine, on.affine, atol=1e-4):
        raise CheckFailed(f"{file}: is not on the scan's grid")
    script = Path(__file__).parent / "scripts" / "mean_of_bundles.py"
    unequal, labelled = place.run("python", script, scan, file, *bundles).split()[-2:]
    if int(unequal) or not int(labelled):
        raise CheckFailed(
            f"{unequal} voxels differ from the mean of the folds, {labelled} labelled"
        )
    return f"{FOLDS} folds, Dice {dices}; the ensemble of them labels {labelled} voxels, all equal"


CLIENT = Client("auto3dseg", "Auto3DSeg in MONAI 1.6.1", (auto_runner_trains_and_ensembles,))
