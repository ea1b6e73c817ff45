"""nnU-Net's own prediction of one scan, with random weights and the work of the shipped bundle."""

import json
from pathlib import Path

from tests.benchmarks.process import measure
from tests.benchmarks.shipped_work import shipped_work


def prediction(environment: Path, scan: Path, folder: Path, device: str = "cpu") -> list[str]:
    """Write a model folder, and return the command that predicts the scan to `folder/labels`.

    Args:
        environment: folder `bin` of an environment with nnU-Net.
        scan: NIfTI file of the CT.
        folder: new folder for the model, the scan's link and the labels.
        device: `cpu` or `cuda`.
    """
    scans, model = folder / "scans", folder / "model"
    scans.mkdir(parents=True)
    (scans / "scan_0000.nii.gz").symlink_to(scan.absolute())
    script = Path(__file__).with_name("nnunet_model.py")
    made = [str(environment / "python"), str(script), str(model), json.dumps(shipped_work())]
    measure(made, folder / "model.log")
    command = [str(environment / "nnUNetv2_predict_from_modelfolder"), "-i", str(scans)]
    command += ["-o", str(folder / "labels"), "-m", str(model), "-f", "0", "-device", device]
    command += ["-step_size", str(1 - shipped_work()["overlap"]), "--disable_tta"]
    return [*command, "--disable_progress_bar", "-npp", "1", "-nps", "1"]
