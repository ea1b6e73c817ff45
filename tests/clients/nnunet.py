"""nnU-Net trains and predicts with this package's network as the architecture in its plans."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_attn.phantom import write_phantoms
from tests.clients.client import CheckFailed, Client, Place

NAME = "Dataset001_Phantom"
PLANS = "nnUNetAttentionPlans"
TRAINER = "nnUNetTrainerShort"
SIZE = (48, 40, 24)
SPACING = (8.0, 8.0, 12.0)
CASES = 5  # one for each of its folds
STEPS = 8


def an_attention_unet_trains_and_predicts(place: Place) -> str:
    """Plan, replace the network, train for two epochs, predict; all with nnU-Net's own commands."""
    env = _folders(place.work)
    _add_trainer(place)
    _data_set(place.work / "raw" / NAME)
    words = ["-d", "1", "-c", "3d_fullres", "-np", "1", "-npfp", "1"]
    place.run("nnUNetv2_plan_and_preprocess", *words, "--verify_dataset_integrity", env=env)
    folder = place.work / "preprocessed" / NAME
    _small(folder / "nnUNetPlans.json")
    plans = folder / f"{PLANS}.json"
    place.run(
        "monai-attn", "plan", "--from", folder / "nnUNetPlans.json", "--for-nnunet", "-o", plans
    )
    words = ["1", "3d_fullres", "0", "-p", PLANS, "-tr", TRAINER, "-device", "cpu"]
    printed = place.run("nnUNetv2_train", *words, env=env)
    if "NnUNetAttentionUNet" not in printed:
        raise CheckFailed("nnU-Net's log does not name the network")
    trained = place.work / "results" / NAME / f"{TRAINER}__{PLANS}__3d_fullres" / "fold_0"
    gates = json.loads((trained / "gates.json").read_text())
    if not gates or not all(most > 0 for epoch in gates for most in epoch.values()):
        raise CheckFailed(f"a gate got no gradient: {gates}")
    code = (
        "import sys, torch; weights = torch.load(sys.argv[1], weights_only=False)['network_weights'];"
        "print(sum('.gate.' in name for name in weights))"
    )
    stored = int(place.run("python", "-c", code, trained / "checkpoint_final.pth").split()[-1])
    if stored != len(gates[0]):
        raise CheckFailed(
            f"the checkpoint holds {stored} tensors of gates, {len(gates[0])} expected"
        )
    return f"{len(gates)} epochs, {stored} tensors of gates learn; {_predict(place, env)}"


def _folders(work: Path) -> dict[str, str]:
    """Return nnU-Net's variables; make the folders that they name."""
    names = {
        "nnUNet_raw": "raw",
        "nnUNet_preprocessed": "preprocessed",
        "nnUNet_results": "results",
    }
    for name in names.values():
        (work / name).mkdir()
    return {
        **{variable: str(work / name) for variable, name in names.items()},
        "nnUNet_n_proc_DA": "1",
        "OMP_NUM_THREADS": "1",
        "SHORT_STEPS": str(STEPS),
    }


def _add_trainer(place: Place) -> None:
    """Put the short trainer where nnU-Net looks first.

    A trainer elsewhere, under `nnUNet_extTrainer`, is looked for after all of nnU-Net's own are imported. One
    of these needs torchvision, of which no wheel loads next to a torch for CPUs.
    """
    code = "import nnunetv2; print(nnunetv2.__path__[0])"
    package = Path(place.run("python", "-c", code).strip())
    folder = package / "training" / "nnUNetTrainer"
    shutil.copy(Path(__file__).parent / "scripts" / "nnunet_short.py", folder / f"{TRAINER}.py")


def _data_set(folder: Path) -> None:
    """Write phantoms, under the names and with the description that nnU-Net expects."""
    write_phantoms(folder, CASES, shape=SIZE, spacing=SPACING)
    for scan in folder.glob("imagesTr/*.nii.gz"):
        scan.rename(scan.with_name(scan.name.replace(".nii.gz", "_0000.nii.gz")))
    described = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "pancreas": 1},
        "numTraining": CASES,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(described))


def _small(path: Path) -> None:
    """Make the planned network small: that is an ordinary change of a plan."""
    plans = json.loads(path.read_text())
    planned = plans["configurations"]["3d_fullres"]
    arguments = planned["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [8 * 2**i for i in range(arguments["n_stages"])]
    path.write_text(json.dumps(plans))


def _predict(place: Place, env: dict[str, str]) -> str:
    """Predict the scans with nnU-Net, and check the grid of what it wrote."""
    scans, out = place.work / "raw" / NAME / "imagesTr", place.work / "out"
    words = ["-i", scans, "-o", out, "-d", "1", "-c", "3d_fullres", "-f", "0", "-p", PLANS]
    words += ["-tr", TRAINER, "-device", "cpu", "-npp", "1", "-nps", "1", "--disable_tta"]
    place.run("nnUNetv2_predict", *words, env=env)
    files = sorted(out.glob("*.nii.gz"))
    if len(files) != CASES:
        raise CheckFailed(f"{len(files)} predictions, {CASES} expected")
    found = 0
    for file in files:
        labels = nib.load(file)
        scan = nib.load(scans / file.name.replace(".nii.gz", "_0000.nii.gz"))
        if labels.shape != scan.shape or not np.allclose(labels.affine, scan.affine, atol=1e-4):
            raise CheckFailed(f"{file}: is not on the scan's grid")
        found += int((np.asarray(labels.dataobj) > 0).sum())
    return f"{len(files)} predictions on their scans' grids, {found} voxels of foreground"


CLIENT = Client("nnunet", "nnU-Net 2.8.1", (an_attention_unet_trains_and_predicts,))
