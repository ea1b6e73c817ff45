"""`monai-attn merge-masks`."""

import nibabel as nib
import numpy as np

from command_line import run
from monai_attn.datasets import find_cases
from scans import SHAPE, save


def test_masks_become_a_data_set(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "ts" / "s0001" / "segmentations"
    folder.mkdir(parents=True)
    save(folder.parent / "ct.nii.gz", np.ones(SHAPE, np.int16))
    for name in ("liver", "spleen"):
        save(folder / f"{name}.nii.gz", np.full(SHAPE, name == "spleen", np.uint8))
    words = ("merge-masks", tmp_path / "ts", "liver", "spleen", "-o", tmp_path / "out")
    assert run(monkeypatch, *words) == 0
    assert f"data set: {tmp_path}/out/dataset.json" in capsys.readouterr().out
    [case] = find_cases(tmp_path / "out")
    assert np.unique(nib.load(case["label"]).dataobj) == [2]
    assert run(monkeypatch, *words) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/out: exists and is not empty")
