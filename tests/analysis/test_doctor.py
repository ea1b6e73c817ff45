"""What is said before hours are spent: of the machine, of bundles, of scans and data sets."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch

from command_line import run
from dicoms import series
from monai_attn import DEFAULT_BUNDLE
from monai_attn.analysis.doctor import check_bundle, check_data, machine_facts
from monai_attn.bundle.open import open_bundle


@pytest.fixture(scope="module")
def opened(tiny_bundle):
    return open_bundle(tiny_bundle, backend="eager", precision="float32")


def test_the_machine():
    facts = machine_facts()
    assert facts["torch"] == torch.__version__.split("+")[0] or facts["torch"] == torch.__version__
    assert "eager" in facts["backends"]
    assert " free of " in facts["memory"]
    assert set(facts) >= {"monai-attn", "Python", "monai", "nibabel", "CPU", "GPU", "cache"}


# --- bundles


def test_the_shipped_bundle_is_sound():
    found = check_bundle(DEFAULT_BUNDLE)
    assert (found.verdict, found.subject) == ("sound", DEFAULT_BUNDLE)
    assert "weights as shipped" in found.facts
    assert "labels pancreas" in found.facts


def test_a_bundle_that_misses_a_file_or_whose_locator_is_for_others_is_doubtful(
    tiny_bundle, tmp_path
):
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    (bundle / "LICENSE").unlink()
    found = check_bundle(bundle)
    assert found.verdict == "doubtful"
    assert found.doubts[0] == f"{bundle}/LICENSE: is missing"
    assert "the locator was not made for" in found.doubts[1]


def without_weights(bundle):
    (bundle / "models" / "model.pt").unlink()


def other_weights(bundle):
    torch.save({"a": torch.zeros(1)}, bundle / "models" / "model.pt")


def broken_config(bundle):
    (bundle / "configs" / "inference.json").write_text("{")


BROKEN = {
    "no weights": (without_weights, "model.pt: no weights"),
    "other weights": (other_weights, "model.pt: does not fit"),
    "half a config": (broken_config, "its configs do not make a bundle"),
}


@pytest.mark.parametrize(("spoil", "fault"), BROKEN.values(), ids=BROKEN.keys())
def test_a_bundle_that_does_not_open_is_refused(tiny_bundle, tmp_path, spoil, fault):
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    spoil(bundle)
    found = check_bundle(bundle)
    assert found.verdict == "refused"
    assert fault in found.refused


# --- scans and data sets


def test_a_data_set_with_its_labels(phantoms, opened):
    found = list(check_data(phantoms, opened))
    assert [finding.verdict for finding in found] == ["sound"] * 4
    assert found[0].facts == "56 x 48 x 28 voxels of 7 x 7 x 7 mm, LPS; labels 1"
    assert found[0].subject.endswith("phantom_0005.nii.gz")


def test_a_data_set_of_nnunet_is_checked_with_its_labels(phantoms, opened, tmp_path):
    (tmp_path / "imagesTr").mkdir()
    for path in (phantoms / "imagesTr").iterdir():
        shutil.copy(path, tmp_path / "imagesTr" / path.name.replace(".nii", "_0000.nii"))
    shutil.copytree(phantoms / "labelsTr", tmp_path / "labelsTr")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {}, "file_ending": ".nii.gz"}))
    found = list(check_data(tmp_path, opened))
    assert len(found) == 4
    assert all(finding.facts.endswith("; labels 1") for finding in found)


def moved(path):
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += 7
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)


def fractions(path):
    image = nib.load(path)
    nib.save(nib.Nifti1Image(image.get_fdata(dtype=np.float32) * 0.5, image.affine), path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


SPOILT = {
    "label moved": ("labelsTr", moved, "is not on the grid of", "refused"),
    "label of fractions": ("labelsTr", fractions, "value 0.5 at voxel", "refused"),
    "label cut": ("labelsTr", cut, "cannot be read to its end", "refused"),
    "scan cut": ("imagesTr", cut, "cannot be read to its end", "refused"),
    "scan gone": ("imagesTr", lambda path: path.unlink(), "does not exist", "refused"),
}


@pytest.mark.parametrize(
    ("folder", "spoil", "fault", "verdict"), SPOILT.values(), ids=SPOILT.keys()
)
def test_one_bad_case_is_named_and_the_others_are_checked(
    phantoms, opened, tmp_path, folder, spoil, fault, verdict
):
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    path = sorted((data / folder).iterdir())[1]
    spoil(path)
    found = list(check_data(data, opened))
    assert [finding.verdict for finding in found] == ["sound", verdict, "sound", "sound"]
    assert found[1].refused.startswith(f"{path}: ")
    assert fault in found[1].refused


def test_a_scan_that_is_doubtful(phantoms, opened, tmp_path):
    image = nib.load(sorted((phantoms / "imagesTr").iterdir())[0])
    path = tmp_path / "thin.nii.gz"
    nib.save(image.slicer[:, :, 10:13], path)
    (found,) = check_data(path, opened)
    assert found.verdict == "doubtful"
    assert found.doubts == (
        f"{path}: only 3 voxels (21 mm) head-foot: a thin volume, so labels may be wrong; "
        "give more of the body",
    )


# --- the command


def test_a_series_that_no_dicom_file_can_refer_to_is_doubtful(opened, tmp_path):
    series(tmp_path / "good")
    series(tmp_path / "gap", change={2: {"FrameOfReferenceUID": None}})
    with pytest.warns(UserWarning, match="Invalid value"):
        series(tmp_path / "odd", StudyDate="yesterday")
    gap, good, odd = check_data(tmp_path, opened)
    about = [[doubt for doubt in found.doubts if "DICOM" in doubt] for found in (good, gap, odd)]
    assert good.facts.endswith("; as DICOM: SEG, RTSTRUCT")
    assert about[0] == []
    assert about[1] == [
        f"{tmp_path}/gap: no DICOM SEG and no RTSTRUCT can refer to it ({tmp_path}/gap/2.dcm: "
        "FrameOfReferenceUID is missing. Export the series again, or anonymise it so that UIDs are "
        "replaced and not removed.)",
    ]
    assert about[2] == [f"{tmp_path}/odd: malformed StudyDate; DICOM output has the same values"]


def test_what_the_command_says(phantoms, tiny_bundle, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "doctor") == 0
    said = capsys.readouterr().out
    assert "Python" in said
    assert f"sound: {DEFAULT_BUNDLE}" in said
    assert run(monkeypatch, "doctor", tiny_bundle) == 0
    printed = capsys.readouterr()
    assert "1 doubtful" in printed.out
    assert "a bundle's config can run code" in printed.err
    (tmp_path / "a.nii.gz").write_bytes(b"<html>")
    shutil.copy(sorted((phantoms / "imagesTr").iterdir())[0], tmp_path / "b.nii.gz")
    assert run(monkeypatch, "doctor", tmp_path, "--bundle", tiny_bundle) == 1
    printed = capsys.readouterr()
    assert "1 refused, 1 sound" in printed.out
    assert f"refused: {tmp_path}/a.nii.gz: a web page, not a scan" in printed.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii.gz", "b.nii.gz"]


def test_a_list_of_cases_is_checked_in_every_section(phantoms, opened, tmp_path):
    images = sorted(str(path) for path in (phantoms / "imagesTr").iterdir())
    sections = {"training": images[:1], "validation": images[1:2], "test": images[2:3]}
    (tmp_path / "list.json").write_text(json.dumps(sections))
    assert len(list(check_data(tmp_path / "list.json", opened))) == 3


# what dataset.json says of the labels, what doctor says of the data set
DECLARED = {
    "another organ": ({"background": 0, "liver": 1}, [], "value 1 is 'liver', but 'pancreas' in"),
    "a choice of nothing": (
        {"background": 0, "pancreas": 1},
        ["5=x"],
        "no label map has this value",
    ),
}


@pytest.mark.parametrize(("labels", "chosen", "fault"), DECLARED.values(), ids=DECLARED.keys())
def test_a_data_set_that_a_training_would_refuse_is_refused(
    phantoms, opened, tmp_path, labels, chosen, fault
):
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    content = json.loads((data / "dataset.json").read_text())
    content["labels"] = {str(value): name for name, value in labels.items()}
    (data / "dataset.json").write_text(json.dumps(content))
    *cases, last = check_data(data, opened, labels=chosen)
    assert {case.verdict for case in cases} == {"sound"}
    assert last.verdict == "refused"
    assert fault in last.refused


def test_a_value_without_a_class_is_refused_and_its_declared_name_is_the_remedy(
    phantoms, opened, tmp_path
):
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    for path in (data / "labelsTr").iterdir():
        image = nib.load(path)
        values = np.asarray(image.dataobj) * np.uint8(255)
        nib.save(nib.Nifti1Image(values.astype(np.uint8), image.affine), path)
    content = json.loads((data / "dataset.json").read_text())
    content["labels"] = {"0": "background", "255": "pancreas"}
    (data / "dataset.json").write_text(json.dumps(content))
    found = list(check_data(data, opened))
    assert {finding.verdict for finding in found} == {"refused"}
    assert {finding.remedy for finding in found} == {"label=pancreas"}
    chosen = list(check_data(data, opened, labels=["pancreas"]))
    assert {finding.verdict for finding in chosen} == {"sound"}


def test_a_structure_with_masks_is_checked_as_a_label_map(phantoms, opened, tmp_path):
    for number, image in enumerate(sorted((phantoms / "imagesTr").iterdir())[:2], 1):
        masks = tmp_path / f"s000{number}" / "segmentations"
        masks.mkdir(parents=True)
        shutil.copy(image, masks.parent / "ct.nii.gz")
        shutil.copy(phantoms / "labelsTr" / image.name, masks / "pancreas.nii.gz")
    for choice in ("pancreas", "1=pancreas"):
        found = list(check_data(tmp_path, opened, labels=[choice]))
        assert [one.verdict for one in found] == ["sound", "sound"]
        assert all(one.facts.endswith("; labels 1") for one in found)
    assert not any("labels" in one.facts for one in check_data(tmp_path, opened))
