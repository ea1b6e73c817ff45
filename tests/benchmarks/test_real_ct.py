"""The recipe of the shipped weights turns single slices into volumes."""

import json

import nibabel as nib
import numpy as np
import pytest

from benchmarks.real_ct import IGNORE, STEP, interpolate, patient_cases, prepare, read_slices, split

SHAPE = (4, 4, 40)


def label():
    """A label that says of each slice which one it is."""
    return np.broadcast_to(np.arange(40, dtype=np.uint8) % 2, SHAPE)


def slices(*places):
    return {z: np.full(SHAPE[:2], 10 * z, np.int16) for z in places}


def test_a_slice_at_hand_appears_as_it_is():
    image, _, start = interpolate(slices(3, 9), label(), spacing=1.0)
    assert start == 3.0
    assert image[0, 0].tolist() == [30, 60, 90]


@pytest.mark.parametrize("spacing", [1.0, 0.5])
def test_between_two_slices_the_image_is_interpolated_at_the_right_millimetre(spacing):
    image, _, start = interpolate(slices(4, 20), label(), spacing, start=1.0)
    places = (start + STEP * np.arange(image.shape[2])) / spacing
    assert start == 4 * spacing + 1.0
    np.testing.assert_allclose(image[0, 0], 10 * places, atol=0.5)


def test_the_label_is_that_of_each_place():
    _, found, _ = interpolate(slices(1, 4, 7), label(), spacing=1.0)
    assert found[0, 0].tolist() == [1, 0, 1]


def test_far_from_every_slice_the_label_is_ignored():
    _, found, _ = interpolate(slices(0, 30), label(), spacing=1.0)
    near = np.minimum(3 * np.arange(11), 30 - 3 * np.arange(11)) <= 4
    assert (found[0, 0] != IGNORE).tolist() == near.tolist()


@pytest.fixture
def source(tmp_path):
    """Files as the data set has them: one patient with a header that contradicts cases.csv."""
    for folder in ("labels", "slices", "volumes", "negatives"):
        (tmp_path / folder).mkdir()
    wrong = nib.Nifti1Image(label().copy(), np.diag([-0.8, 0.8, -4.0, 1]))
    nib.save(wrong, tmp_path / "labels" / "label0003.nii.gz")
    fields = np.array(["crop40", "full"])
    soft = np.stack([np.full(SHAPE[:2], value, np.uint8) for value in (50, 70)])
    np.savez(tmp_path / "slices" / "0003_soft.npz", image=soft, z=[5, 11], field=fields)
    wide = np.full((1, *SHAPE[:2]), -900, np.int16)
    np.savez(tmp_path / "slices" / "0003_wide.npz", image=wide, z=[17], field=fields[1:])
    return tmp_path


ROW = {"patient": "0003", "spacing_z_mm": "1.0", "first_z": "5", "last_z": "17", "soft_slices": "2"}


def test_slices_of_both_kinds_share_one_range_of_hounsfield_units(source):
    found = read_slices(source, "0003")
    assert {z: int(image[0, 0]) for z, image in found.items()} == {5: 50, 11: 70, 17: 0}


def test_the_spacing_of_the_table_counts_where_a_header_contradicts_it(source, tmp_path):
    cases = patient_cases(source, tmp_path / "out", ROW)
    assert len(cases) == 3
    image = nib.load(cases[1]["image"])
    assert image.header.get_zooms() == pytest.approx((0.8, 0.8, 3.0))
    assert image.affine[2, 3] == pytest.approx(-6.0)  # one millimetre below slice 5


def test_a_missing_file_is_named_before_anything_is_written(source, tmp_path):
    lines = [",".join(ROW), ",".join(ROW.values()), ",".join({**ROW, "patient": "0007"}.values())]
    (source / "cases.csv").write_text("\n".join(lines) + "\n")
    (source / "negatives" / "chest_lidc_0314.nii.gz").touch()
    with pytest.raises(ValueError, match=r"label0007\.nii\.gz: missing"):
        prepare(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_patient_is_never_on_both_sides():
    names = [f"{p}_{v}" for p in ("0001", "0003") for v in (0, 1)] + ["0001_whole", "chest"]
    cases = [
        {"image": f"{n}.nii.gz", "label": f"{n}.nii.gz", "group": n[:4], "fold": int(n[3] == "3")}
        for n in names[:-1]
    ]
    cases.append({"image": "chest.nii.gz", "label": "chest.nii.gz"})
    parts = {
        part: [case["image"][: -len(".nii.gz")] for case in chosen]
        for part, chosen in split(cases, fold=0).items()
    }
    assert parts["validation"] == ["0001_whole"]
    assert parts["training"] == ["0003_0", "0003_1", "chest"]
    assert json.dumps(split(cases, fold=1)["validation"]).count("0003_0") == 2
