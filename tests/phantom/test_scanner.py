"""The synthetic abdomen: one body on any grid, organs where they belong, files others can read."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from monai_attn.phantom import ORGANS, Phantom, abdominal_phantom, write_phantoms

nib: Any = nibabel  # its functions carry no types

SHAPE, SPACING = (48, 40, 24), (8.0, 8.0, 9.0)


@cache
def body(seed: int, orientation: str = "RAS") -> Phantom:
    """A whole abdomen, coarse enough to be quick and fine enough to measure."""
    return abdominal_phantom(
        seed, shape=(76, 56, 44), spacing=(5, 5, 5), orientation=orientation, all_organs=True
    )


@cache
def close_up(
    seed: int, orientation: str = "RAS", spacing: tuple[float, float, float] = (3, 3, 3)
) -> Phantom:
    """The pancreas region alone."""
    shape = tuple(int(mm / s) for mm, s in zip((200, 120, 140), spacing, strict=True))
    return abdominal_phantom(seed, shape=shape, spacing=spacing, orientation=orientation)


def millilitres(phantom: Phantom, organ: str = "pancreas") -> float:
    return float(
        (phantom.labels == ORGANS[organ]).sum() * abs(np.linalg.det(phantom.affine[:3, :3])) / 1000
    )


def places(phantom: Phantom, organ: str) -> NDArray[np.float64]:
    """Where the organ is, (n, 3) in RAS+ mm."""
    voxels = np.argwhere(phantom.labels == ORGANS[organ])
    assert len(voxels), organ
    return voxels @ phantom.affine[:3, :3].T + phantom.affine[:3, 3]


def mean_hu(phantom: Phantom, organ: str) -> float:
    return float(phantom.image[phantom.labels == ORGANS[organ]].mean())


# --- one seed, one body ---------------------------------------------------------------------------


def test_same_seed_same_volume() -> None:
    first, second = (abdominal_phantom(3, shape=SHAPE, spacing=SPACING) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.affine, second.affine)


def test_different_seeds_differ() -> None:
    assert not np.array_equal(body(0).image, body(1).image)
    assert not np.array_equal(body(0).labels, body(1).labels)


@pytest.mark.parametrize(
    ("orientation", "spacing"), [("LPS", (3, 3, 3)), ("oblique", (3, 3, 3)), ("RAS", (2, 2, 5))]
)
def test_another_grid_sees_the_same_pancreas(
    orientation: str, spacing: tuple[float, float, float]
) -> None:
    one, other = close_up(0), close_up(0, orientation, spacing)
    assert not np.array_equal(one.affine, other.affine)
    assert millilitres(other) == pytest.approx(millilitres(one), rel=0.04)
    np.testing.assert_allclose(
        places(other, "pancreas").mean(0), places(one, "pancreas").mean(0), atol=0.7
    )


def test_labels_of_all_organs_change_neither_image_nor_pancreas() -> None:
    plain = abdominal_phantom(1, shape=SHAPE, spacing=SPACING)
    full = abdominal_phantom(1, shape=SHAPE, spacing=SPACING, all_organs=True)
    assert np.array_equal(plain.image, full.image)
    assert np.array_equal(plain.labels == 1, full.labels == 1)
    assert set(np.unique(plain.labels)) == {0, 1}


# --- the grid -------------------------------------------------------------------------------------


def test_types_and_shape() -> None:
    phantom = abdominal_phantom(4, shape=(30, 26, 12))
    dtypes = [array.dtype.name for array in (phantom.image, phantom.labels, phantom.affine)]
    assert dtypes == ["int16", "uint8", "float64"]
    assert phantom.image.shape == phantom.labels.shape == (30, 26, 12)
    assert phantom.image.min() >= -1024
    assert phantom.seed == 4


def test_a_shape_alone_covers_the_body() -> None:
    phantom = abdominal_phantom(4, shape=(40, 36, 20), orientation="RAS")
    edge = np.concatenate([phantom.image[[0, -1]].ravel(), phantom.image[:, -1].ravel()])
    assert np.median(edge) < -900
    assert (edge > -300).mean() < 0.03  # the table passes through


@pytest.mark.parametrize("orientation", ["RAS", "LPS"])
def test_orientation_names_the_axes(orientation: str) -> None:
    phantom = abdominal_phantom(0, shape=(12, 12, 8), spacing=(30, 30, 30), orientation=orientation)
    assert "".join(nib.aff2axcodes(phantom.affine)) == ("RAS" if orientation == "RAS" else "LPS")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_oblique_is_a_proper_rotation_times_spacing(seed: int) -> None:
    phantom = abdominal_phantom(
        seed, shape=(12, 12, 8), spacing=(30, 25, 20), orientation="oblique"
    )
    rotation = phantom.affine[:3, :3] / [30, 25, 20]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    degrees = np.degrees(np.arccos((np.trace(rotation) - 1) / 2))
    assert 3 < degrees < 10.5


def test_drawn_grids_are_those_of_abdominal_ct() -> None:
    phantom = abdominal_phantom(6, spacing=(6, 6, 5))
    assert 155 < 5 * phantom.image.shape[2] < 245
    assert 250 < 6 * phantom.image.shape[0] < 460
    inside = np.asarray(phantom.labels.any((0, 1)))
    assert inside.any()
    assert not inside[[0, -1]].any()  # the whole pancreas is in the scan


# --- the body -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 9, 12])
def test_pancreas_volume(seed: int) -> None:
    assert 30 <= millilitres(close_up(seed)) <= 120


def test_volumes_vary() -> None:
    volumes = [millilitres(close_up(seed)) for seed in (0, 1, 9, 12)]
    assert max(volumes) > 1.5 * min(volumes)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("organ", ["liver", "spleen", "duodenum"])
def test_pancreas_is_close_to_its_neighbours_in_hu(seed: int, organ: str) -> None:
    difference = abs(mean_hu(body(seed), organ) - mean_hu(close_up(seed), "pancreas"))
    assert 10 <= difference <= 40


@pytest.mark.parametrize("seed", [0, 1])
def test_decoy_loops_are_as_bright_as_the_pancreas_and_elsewhere(seed: int) -> None:
    phantom = body(seed)
    assert millilitres(phantom, "soft_bowel") > 25
    middle = places(phantom, "pancreas").mean(0)
    assert np.linalg.norm(places(phantom, "soft_bowel") - middle, axis=1).max() > 70
    assert abs(mean_hu(phantom, "soft_bowel") - mean_hu(phantom, "pancreas")) < 10


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "oblique"])
def test_organs_are_on_their_sides(orientation: str) -> None:
    at = {
        organ: places(body(0, orientation), organ).mean(0)
        for organ in ORGANS
        if organ != "background"
    }
    right, front, head = 0, 1, 2
    rows = [
        ("liver", "spleen", right),
        ("right_kidney", "left_kidney", right),
        ("gallbladder", "pancreas", right),
        ("vena_cava", "aorta", right),
        ("duodenum", "stomach", right),
        ("pancreas", "aorta", front),
        ("pancreas", "left_kidney", front),
        ("aorta", "spine", front),
        ("spleen", "left_kidney", head),
        ("lungs", "liver", head),
    ]
    wrong = [row for row in rows if at[row[0]][row[2]] <= at[row[1]][row[2]]]
    assert not wrong


@pytest.mark.parametrize("seed", [0, 1])
def test_head_is_right_of_the_tail_and_lower(seed: int) -> None:
    where = places(close_up(seed), "pancreas")
    order = np.argsort(where[:, 0])  # x grows to the patient's right
    tail, head = (where[order[: len(order) // 6]].mean(0), where[order[-len(order) // 6 :]].mean(0))
    assert head[0] - tail[0] > 50
    assert tail[2] - head[2] > 10
    spleen = places(body(seed), "spleen").mean(0)
    assert np.linalg.norm(tail - spleen) < np.linalg.norm(head - spleen)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_organ_is_there(seed: int) -> None:
    assert set(np.unique(body(seed).labels)) == set(ORGANS.values())


def test_thick_slices_are_averages_of_thin_ones() -> None:
    thin, thick = (
        abdominal_phantom(0, shape=(60, 40, n), spacing=(4, 4, z), orientation="RAS")
        for n, z in ((48, 2), (12, 8))
    )
    averaged = thin.image.reshape(60, 40, 12, 4).mean(-1)
    steep = (
        np.abs(np.diff(averaged, axis=2)).max(2) > 200
    )  # bone, gas and the body's edge between slices
    assert steep.any()
    assert np.corrcoef(averaged[steep].ravel(), thick.image[steep].ravel())[0, 1] > 0.97


def test_noise_is_correlated_within_the_slice() -> None:
    phantom = abdominal_phantom(0, shape=(64, 64, 3), spacing=(0.7, 0.7, 3), orientation="RAS")
    image = phantom.image.astype(float)
    ripple = image[1:-1] - (image[:-2] + image[2:]) / 2
    neighbours = np.corrcoef(image[:, 1:-1].ravel(), ((image[:, :-2] + image[:, 2:]) / 2).ravel())[
        0, 1
    ]
    assert neighbours > 0.5
    assert ripple.std() > 1


# --- the files ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int]]]:
    done: list[tuple[int, int]] = []
    folder = tmp_path_factory.mktemp("phantoms") / "set"
    path = write_phantoms(
        folder, 2, seed=7, shape=(24, 20, 12), on_case=lambda *case: done.append(case)
    )
    return path, done


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_same_seed_same_bytes(dataset: tuple[Path, list[tuple[int, int]]], tmp_path: Path) -> None:
    first = dataset[0].parent
    write_phantoms(tmp_path, 1, seed=8, shape=(24, 20, 12))
    for folder in ("imagesTr", "labelsTr"):
        again = digest(tmp_path / folder / "phantom_0008.nii.gz")
        assert again == digest(first / folder / "phantom_0008.nii.gz")
        assert again != digest(first / folder / "phantom_0007.nii.gz")


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"training": []}', '{"reference": "else", "training": []}'],
)
def test_the_list_of_other_scans_is_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(content)
    with pytest.raises(
        ValueError, match=r"dataset\.json: lists other scans, so it is not replaced"
    ):
        write_phantoms(tmp_path, 1, shape=(24, 20, 12))
    assert path.read_text() == content
    assert list(tmp_path.iterdir()) == [path]


def test_phantoms_may_be_made_again_and_more_but_none_drops_out(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 1, seed=7, shape=(24, 20, 12))
    path = write_phantoms(tmp_path, 2, seed=7, shape=(24, 20, 12))
    listed = path.read_text()
    with pytest.raises(ValueError, match=r"also lists .*phantom_0008.nii.gz, which would drop out"):
        write_phantoms(tmp_path, 1, seed=7, shape=(24, 20, 12))
    with pytest.raises(ValueError, match="lists other scans"):
        write_phantoms(tmp_path, 2, seed=7, modality="MR", shape=(24, 20, 12))
    assert path.read_text() == listed


def test_dataset_json_is_that_of_the_decathlon(dataset: tuple[Path, list[tuple[int, int]]]) -> None:
    path, done = dataset
    table = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == "dataset.json"
    assert done == [(1, 2), (2, 2)]
    assert table["labels"] == {"0": "background", "1": "pancreas"}
    assert table["modality"] == {"0": "CT"}
    assert table["numTraining"] == len(table["training"]) == 2
    assert table["test"] == []
    assert "synthetic" in table["description"].lower()
    assert table["training"][0] == {
        "image": "./imagesTr/phantom_0007.nii.gz",
        "label": "./labelsTr/phantom_0007.nii.gz",
    }
    for entry in table["training"]:
        image, label = (nib.load(path.parent / entry[key]) for key in ("image", "label"))
        assert image.shape == label.shape == (24, 20, 12)
        np.testing.assert_array_equal(image.affine, label.affine)
        assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)


def test_files_hold_the_phantom_and_both_transforms(
    dataset: tuple[Path, list[tuple[int, int]]],
) -> None:
    phantom = abdominal_phantom(7, shape=(24, 20, 12))
    for folder, data in (("imagesTr", phantom.image), ("labelsTr", phantom.labels)):
        image = nib.load(dataset[0].parent / folder / "phantom_0007.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj), data)
        assert image.header["sform_code"] in (1, 2)
        assert image.header["qform_code"] in (1, 2)
        assert image.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_allclose(image.header.get_sform(), phantom.affine, atol=1e-3)
        np.testing.assert_allclose(image.header.get_qform(), phantom.affine, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"seed": -1}, r"seed \(=-1\) must be 0 or more"),
        ({"orientation": "LAS"}, r"orientation \(='LAS'\) must be one of RAS, LPS, oblique"),
        ({"shape": (4, 4)}, r"shape \(=\(4, 4\)\) must be three positive whole voxel counts"),
        ({"shape": (4, 0, 4)}, r"shape \(=\(4, 0, 4\)\) must be"),
        ({"shape": (4, 4.5, 4)}, r"shape \(=\(4, 4.5, 4\)\) must be"),
        ({"spacing": (1, 1)}, r"spacing \(=\(1, 1\)\) must be three positive sizes in mm"),
        ({"spacing": (1, -1, 1)}, r"spacing \(=\(1, -1, 1\)\) must be"),
        ({"spacing": (1, float("nan"), 1)}, r"spacing \(=\(1, nan, 1\)\) must be"),
    ],
)
def test_errors_say_rule_and_value(arguments: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule) as caught:
        abdominal_phantom(**{"seed": 0, **arguments})
    assert "\n" not in str(caught.value)


def test_no_cases_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"count \(=0\) must be 1 or more"):
        write_phantoms(tmp_path / "none", 0)
    with pytest.raises(ValueError, match=r"seed \(=-2\)"):
        write_phantoms(tmp_path / "none", 1, seed=-2)
    assert not (tmp_path / "none").exists()
