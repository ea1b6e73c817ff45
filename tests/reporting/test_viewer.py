import zlib
from base64 import b64decode
from hashlib import sha256

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from monai_attn.io.names import attention_path, entropy_path
from monai_attn.reporting import viewer
from monai_attn.reporting.viewer import view_case
from monai_attn.runs.records import read_run
from run_folders import AFFINE, SETTINGS, SHAPE, organ, ramp, stored_map, write_case
from scans import fails


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def view(out, **options):
    (record,) = read_run(out).records
    return view_case(record, **options)


def decoded(shown, key):
    raw = zlib.decompress(b64decode(shown.volumes[key]))
    steps = np.frombuffer(raw, np.uint8).reshape(shown.shape, order="F")
    return np.add.accumulate(steps, axis=2, dtype=np.uint8)


# --- a case


def test_every_voxel_is_shown_within_a_step(out):
    write_case(out)
    shown = view(out)
    assert (shown.shape, shown.factors) == (SHAPE, (1, 1, 1))
    found = np.array(shown.levels)[decoded(shown, "image")]
    step = np.diff(shown.levels).max()
    assert np.abs(found - ramp()).max() <= step / 2 + 1e-3
    np.testing.assert_array_equal(decoded(shown, "labels"), organ())
    assert shown.labels == ((1, "pancreas", "#ffa51f", pytest.approx(organ().sum() * 0.12)),)
    assert shown.window == (-150, 250)
    assert shown.notes == ()


@pytest.mark.parametrize("codes", ["LPS", "SRA", "PIR", "ILP"])
@pytest.mark.parametrize("limit", [viewer.LIMIT, 900])
def test_a_marked_corner_is_at_its_place_however_the_scan_is_stored(out, codes, limit):
    image, labels = np.full(SHAPE, -1000.0, np.float32), np.zeros(SHAPE, np.uint8)
    image[-2:, :2, -2:] = 1000  # right, posterior, superior
    labels[-2:, :2, -2:] = 2
    attention = stored_map(0.2)
    attention[-2:, :2, -2:] = 255
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    arrays = [apply_orientation(array, turn) for array in (image, labels, attention)]
    affine = AFFINE @ inv_ornt_aff(turn, SHAPE)
    write_case(out, "a", arrays[0], arrays[1], affine, attention={1: arrays[2]})
    shown = view(out, limit=limit)
    for key in ("image", "labels", "attention_1"):
        corner = decoded(shown, key)[-1, 0, -1]
        assert corner == decoded(shown, key).max() > decoded(shown, key)[0, -1, 0]
    place = apply_affine(shown.affine, [n - 1 for n in shown.shape])
    np.testing.assert_allclose(place, apply_affine(AFFINE, np.array(SHAPE) - 1), atol=6)


def test_a_shrunken_voxel_lies_in_the_middle_of_those_it_stands_for(out, monkeypatch):
    monkeypatch.setattr(viewer, "MOST_VOXELS", 100)
    write_case(out)
    shown = view(out)
    assert shown.factors == (3, 2, 2)
    first = apply_affine(AFFINE, np.array([1, 0.5, 0.5]))
    np.testing.assert_allclose(apply_affine(shown.affine, [0, 0, 0]), first)
    values = np.array(shown.levels)[decoded(shown, "image")]
    assert values[0, 0, 0] == pytest.approx(ramp()[:3, :2, :2].mean(), abs=10)


def test_what_does_not_fit_is_shrunk_until_it_does(out):
    noise = np.random.default_rng(0).uniform(-1000, 1000, (40, 40, 40)).astype(np.float32)
    write_case(out, "a", noise, attention={1: stored_map(0.5, noise.shape)})
    assert sum(map(len, view(out).volumes.values())) > 20_000
    shown = view(out, limit=20_000)
    assert sum(map(len, shown.volumes.values())) <= 20_000
    assert max(shown.factors) > 1
    assert decoded(shown, "labels").any()


@pytest.mark.parametrize("shape", [(12, 10, 1), (1, 1, 1), (1, 10, 8)])
def test_a_scan_of_one_slice_is_shown(out, shape):
    write_case(out, "a", np.zeros(shape, np.float32), organ(shape))
    shown = view(out)
    assert shown.shape == shape
    assert all(0 <= at < n for at, n in zip(shown.centre, shape, strict=True))
    assert len(shown.levels) == 256


def test_a_case_without_labels_is_shown_from_its_middle(out):
    write_case(out, labels=np.zeros(SHAPE, np.uint8))
    shown = view(out)
    assert (shown.labels, shown.centre) == ((), (6, 5, 4))


def test_labels_are_named_and_numbered_as_they_are_however_large(out):
    labels = np.zeros(SHAPE, np.uint16)
    labels[0], labels[1], labels[2] = 2, 1, 4711
    write_case(out, labels=labels)
    shown = view(out)
    assert [entry[:2] for entry in shown.labels] == [
        (1, "pancreas"),
        (2, "cyst"),
        (4711, "label 4711"),
    ]
    assert decoded(shown, "labels")[:3, 0, 0].tolist() == [2, 1, 3]


def test_more_labels_than_a_byte_holds_are_refused(out):
    write_case(out, labels=np.arange(960, dtype=np.uint16).reshape(SHAPE))
    fails("959 labels; at most 255 can be shown", view, out)


def test_maps_come_in_order_and_unseen_is_no_zero(out):
    maps = {10: stored_map(1.0), 2: stored_map(0.0, unseen=np.s_[:6])}
    write_case(out, attention=maps, entropy=stored_map(0.5))
    shown = view(out)
    assert [overlay.key for overlay in shown.overlays] == ["attention_2", "attention_10", "entropy"]
    assert np.unique(decoded(shown, "attention_2")[:6]).tolist() == [0]
    assert np.unique(decoded(shown, "attention_2")[6:]).tolist() == [1]
    assert np.unique(decoded(shown, "attention_10")).tolist() == [51]
    assert np.unique(decoded(shown, "entropy")).tolist() == [26]


def test_a_map_that_the_run_did_not_write_is_not_shown(out):
    write_case(out)
    stray = attention_path(out / "a_seg.nii.gz", 1)
    stray.write_bytes((out / "a_seg.nii.gz").read_bytes())
    assert view(out).overlays == ()


def test_a_reference_is_shown_beside_the_labels(out, tmp_path):
    write_case(out)
    path = tmp_path / "reference.nii.gz"
    nib.Nifti1Image(np.roll(organ(), 1, axis=0), AFFINE).to_filename(path)
    shown = view(out, reference=path)
    np.testing.assert_array_equal(decoded(shown, "reference"), np.roll(organ(), 1, axis=0))


def test_labels_and_reference_are_numbered_alike(out, tmp_path):
    labels, expected = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    labels[0], labels[1], labels[2] = 2, 2, 3
    expected[0], expected[1], expected[3] = 2, 1, 2
    write_case(out, labels=labels)
    path = tmp_path / "reference.nii.gz"
    nib.Nifti1Image(expected, AFFINE).to_filename(path)
    shown = view(out, reference=path)
    assert decoded(shown, "labels")[:4, 0, 0].tolist() == [2, 2, 3, 0]
    assert decoded(shown, "reference")[:4, 0, 0].tolist() == [2, 1, 0, 2]
    assert decoded(shown, "differences")[:4, 0, 0].tolist() == [0, 3, 1, 2]
    layer = 80 * 0.12  # ml
    assert shown.difference_ml == pytest.approx((layer, layer, layer))
    assert [(place.kind, ml) for place, ml in shown.places] == [
        (1, pytest.approx(layer)),
        (2, pytest.approx(layer)),
        (3, pytest.approx(layer)),
    ]
    assert [ml for *_, ml in shown.labels] == pytest.approx([0, 2 * layer, layer])


def test_ignored_voxels_do_not_differ(out, tmp_path):
    write_case(out)
    path = tmp_path / "reference.nii.gz"
    nib.Nifti1Image(organ() * 9, AFFINE).to_filename(path)
    assert len(view(out, reference=path).places) == 1
    assert view(out, reference=path, ignore=9).places == ()


def test_of_a_reference_with_other_values_only_what_stands_for_a_label_is_shown(out, tmp_path):
    write_case(out)
    path = tmp_path / "organs.nii.gz"
    organs = organ() * 7
    organs[0] = 5
    nib.Nifti1Image(organs, AFFINE).to_filename(path)
    shown = view(out, reference=path, classes={7: 1})
    np.testing.assert_array_equal(decoded(shown, "reference"), organs == 7)


def test_ignored_voxels_of_a_reference_are_shown_as_background(out, tmp_path):
    write_case(out)
    path = tmp_path / "reference.nii.gz"
    reference = organ()
    reference[:, :, ::2] = 9
    nib.Nifti1Image(reference, AFFINE).to_filename(path)
    shown = view(out, reference=path, ignore=9)
    np.testing.assert_array_equal(decoded(shown, "reference"), reference == 1)


def test_where_nothing_was_found_the_reference_is_what_is_looked_at(out, tmp_path):
    write_case(out, labels=np.zeros(SHAPE, np.uint8))
    expected = np.zeros(SHAPE, np.uint8)
    expected[1, 2, 6] = 1
    path = tmp_path / "reference.nii.gz"
    nib.Nifti1Image(expected, AFFINE).to_filename(path)
    assert view(out, reference=path).centre == (1, 2, 6)


# --- what is missing, changed or damaged: one line, and the rest is shown


def damage_scan(out):
    (out.parent / "scans" / "a.nii.gz").write_bytes(b"no scan")


def move_scan(out):
    (out.parent / "scans" / "a.nii.gz").unlink()


def change_scan(out):
    nib.Nifti1Image(ramp() + 1, AFFINE).to_filename(out.parent / "scans" / "a.nii.gz")


def damage_map(out):
    attention_path(out / "a_seg.nii.gz", 1).write_bytes(b"no map")


def move_map(out):
    attention_path(out / "a_seg.nii.gz", 1).unlink()


# what happened, what is said, what is left out
MISSING = [
    (move_scan, "a.nii.gz: the scan is no longer there; put it back", "image"),
    (change_scan, "a.nii.gz: the scan was changed since the run; segment it again", "image"),
    (damage_scan, "a.nii.gz: the scan was changed since the run; segment it again", "image"),
    (damage_map, "a_attention_1.nii.gz: the map was changed since the run", "attention_1"),
    (move_map, "a_attention_1.nii.gz: the map is no longer there", "attention_1"),
]


@pytest.mark.parametrize(("happen", "said", "absent"), MISSING)
def test_what_cannot_be_shown_is_one_line_and_the_rest_is_shown(out, happen, said, absent):
    write_case(out, attention={1: stored_map(0.5)}, entropy=stored_map(0.5))
    happen(out)
    shown = view(out)
    (note,) = shown.notes
    assert said in note
    assert "\n" not in note
    assert {"image", "labels", "attention_1", "entropy"} - set(shown.volumes) == {absent}


def test_labels_that_were_edited_are_shown_and_said_to_be(out):
    write_case(out)
    nib.Nifti1Image(organ() * 2, AFFINE).to_filename(out / "a_seg.nii.gz")
    shown = view(out)
    assert (
        "a_seg.nii.gz: was changed since the run; volumes and numbers are of what" in shown.notes[0]
    )
    assert shown.labels[0][1] == "cyst"


@pytest.mark.parametrize("kind", ["grid", "scale"])
def test_a_map_that_does_not_fit_is_not_shown(out, kind):
    write_case(out, entropy=stored_map(0.5))
    path = entropy_path(out / "a_seg.nii.gz")
    image = nib.Nifti1Image(stored_map(0.5), AFFINE + 10 * (kind == "grid") * np.eye(4, k=3))
    image.header["scl_slope"] = 1 / 254 if kind == "grid" else 1
    image.header["scl_inter"] = 0
    image.to_filename(path)
    (record,) = read_run(out).records
    record.manifest.content["files_sha256"][path.name] = sha256(path.read_bytes()).hexdigest()
    shown = view_case(record)
    assert shown.overlays == ()
    said = {"grid": "lies on another grid than", "scale": "not stored like a map of a run"}
    assert said[kind] in shown.notes[0]


def test_a_reference_on_another_grid_is_not_shown(out, tmp_path):
    write_case(out)
    path = tmp_path / "reference.nii.gz"
    nib.Nifti1Image(organ(), np.eye(4)).to_filename(path)
    shown = view(out, reference=path)
    assert "reference" not in shown.volumes
    assert "reference.nii.gz: lies on another grid than" in shown.notes[0]


def test_a_label_map_that_is_gone_is_an_error(out):
    write_case(out)
    (record,) = read_run(out).records
    record.labels.unlink()
    fails("a_seg.nii.gz: does not exist", view_case, record)


@pytest.mark.parametrize("ends", [None, [1], [250, -150], ["a", 3], "x", [0, float("nan")]])
def test_a_range_that_is_none_gives_way_to_soft_tissue(out, ends):
    write_case(out, settings=SETTINGS | {"intensity_range": ends})
    assert view(out).window == (-160, 240)
