"""Trainings on patients that differ in one thing are alike in all others, and are compared by patient."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from benchmarks import patients, patients_data
from benchmarks.real_ct import IGNORE

SHAPE = (24, 24, 6)
VARIATIONS = {
    name: fields for compared in patients.COMPARED.values() for name, fields in compared.items()
}


@pytest.fixture
def work(tmp_path):
    """Five patients, one for each fold, with a bright cube as the organ; one slice of each is ignored."""
    tmp_path = tmp_path / "nih_pancreas_ct"  # names of parts are of files only
    tmp_path.mkdir()
    cases = []
    for fold in range(5):
        label = np.zeros(SHAPE, np.uint8)
        label[8:16, 8:16] = 1
        label[..., 0] = IGNORE
        image = np.where(label == 1, 100 + fold, 0).astype(np.int16)
        case = {"group": f"000{fold + 3}", "fold": fold}
        for key, voxels in (("image", image), ("label", label)):
            case[key] = str(tmp_path / f"{fold}_{key}.nii.gz")
            nib.save(nib.Nifti1Image(voxels, np.diag([4.0, 4.0, 3.0, 1.0])), case[key])
        cases.append(case)
    whole = {"image": str(tmp_path / "0001_whole.nii.gz"), "group": "0001", "fold": 0}
    phantom = {key: cases[0][key] for key in ("image", "label")}
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [*cases, whole, phantom]}))
    return tmp_path


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """One step of few windows."""
    changes = {"roi_size": (16, 16), "windows": 4, "batch": 2, "steps": 1, "channels": (2, 4, 8, 8)}
    short = {2: replace(patients.PROTOCOLS[2], **changes)}
    monkeypatch.setattr(patients, "PROTOCOLS", short)


def test_the_order_of_the_windows_depends_on_the_seed_alone():
    steps = [torch.cat([*patients.order(7, 3, 5, seed)]).tolist() for seed in (0, 0, 1)]
    assert sorted(steps[0][:7]) == sorted(steps[0][7:14]) == [*range(7)]
    assert steps[0] == steps[1] != steps[2]


def test_the_held_out_patient_is_scored_and_gives_no_window(work):
    patients.run(work, 2, "none", {"gate": None}, seed=0, fold=1)
    found = json.loads((work / "small_2d" / "none_0_1.json").read_text())
    assert [one["score"]["case"] for one in found["patients"]] == ["0004"]
    cut = {path.name for path in work.glob("small_2d/*/*_windows.pt")}
    assert cut == {f"000{i}_windows.pt" for i in (3, 5, 6, 7)}


@pytest.mark.parametrize("name", VARIATIONS)
def test_every_variation_trains_and_is_examined(work, name):
    fields = {**VARIATIONS[name], "steps": 1}
    patients.run(work, 2, name, fields, seed=0, fold=0)
    (one,) = json.loads(next(work.glob("small_2d/*_0_0.json")).read_text())["patients"]
    assert one["score"]["reference_ml"] == pytest.approx(8 * 8 * 5 * 0.048)
    assert len(one["attention"]) == (0 if name == "none" else 2)
    assert (one["open_dice"] is None) == (name == "none")


def test_phantoms_train_before_the_patients_or_among_them(work, monkeypatch):
    pools = []
    monkeypatch.setattr(patients, "train", lambda *given: pools.append(len(given[1])))
    for phantoms in ("", "first", "mixed in"):
        patients.run(work, 2, phantoms or "none", {"phantoms": phantoms}, seed=0, fold=0)
    of_patients, of_phantoms = 4 * 4, 4
    assert pools == [of_patients, of_phantoms, of_patients, of_patients + of_phantoms]


def test_a_thick_slice_mixes_its_neighbours():
    slices = torch.tensor([0.0, 4.0, 8.0, 0.0]).expand(1, 2, 2, 4)
    assert patients_data.thicken(slices)[0, 0, 0].tolist() == [1.0, 4.0, 5.0, 2.0]


def test_a_random_lower_edge_keeps_the_upper_end():
    step = patients_data.RandLowerEdged(0.25).set_random_state(1)
    image = torch.tensor([0.0, 0.1, 1.0])
    changed = [step({"image": image})["image"] for _ in range(40)]
    assert all(one[0] == 0 and one[-1] == pytest.approx(1) for one in changed)
    assert 10 <= sum(not torch.equal(one, image) for one in changed) <= 30


def test_windows_of_a_2d_network_hold_no_ignored_voxel(work):
    cases = patients.patients(work)["0003"][1]
    _, labels = patients.windows_of(cases, patients.PROTOCOLS[2])
    assert labels.unique().tolist() == [0, 1]


def test_differences_are_paired_by_patient_over_the_seeds_that_are_whole(tmp_path):
    for name, gain in (("none", 0.0), ("soft, gating grid", 0.1)):
        for seed in (0, 1, 2):
            for fold in range(5 if seed < 2 else 4):  # the third seed lacks a fold
                score = {"case": f"{fold}", "label": 1, "dice": 0.5 + fold / 10 + gain * seed}
                score |= dict.fromkeys(("precision", "recall", "nsd_2mm"), 0.5)
                score |= dict.fromkeys(("surface_distance_mm", "hd95_mm"), None)
                score |= dict.fromkeys(("reference_ml", "predicted_ml"), 80.0)
                attention = [{"inside": 0.5, "mean": 0.25}] if gain else []
                one = {"score": score, "attention": attention, "open_dice": 0.3 if gain else None}
                path = tmp_path / f"{patients.slug(name)}_{seed}_{fold}.json"
                path.write_text(json.dumps({"patients": [one]}))
    variations = {name: {} for name in ("none", "soft, gating grid", "hard, gating grid")}
    none, soft = patients.table(tmp_path, variations).splitlines()[2:]
    assert [cell.strip() for cell in none.split("|")[1:3]] == ["none", "0.700, 0.700"]
    assert [cell.strip() for cell in soft.split("|")[2:9]] == [
        *("0.700, 0.800", "+0.050", "+0.050 to +0.050", "0.062"),
        *("5 of 5", "0.50 / 0.25", "0.300"),
    ]
