"""A model from Python: an image of any library in, labels on its own grid out."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from monai.data import MetaTensor

import monai_attn
from command_line import names_in, run
from monai_attn.io.scan import read_volume


@pytest.fixture(scope="module")
def model(tiny_bundle):
    return monai_attn.load(tiny_bundle, "cpu", backend="eager")


@pytest.fixture
def scan(phantoms):
    """An oblique one."""
    return sorted((phantoms / "imagesTr").iterdir())[3]


def test_labels_lie_on_the_scan_s_own_grid(model, scan):
    result = model.segment(scan)
    image = nib.load(scan)
    assert result.labels.shape == image.shape
    np.testing.assert_array_equal(result.affine, image.affine)
    assert result.name == scan.name.removesuffix(".nii.gz")
    assert result.label_names == model.label_names == {1: "pancreas"}
    voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
    assert result.volumes_ml == {"pancreas": pytest.approx((result.labels == 1).sum() * voxel_ml)}
    assert "not for patients" in result.notice


IMAGES = {
    "text": str,
    "volume": read_volume,
    "nibabel": nib.load,
    "SimpleITK": lambda path: sitk.ReadImage(str(path)),
    "MetaTensor": lambda path: MetaTensor(nib.load(path).get_fdata(), affine=nib.load(path).affine),
    "array and affine": lambda path: (np.asarray(nib.load(path).dataobj), nib.load(path).affine),
}


@pytest.mark.parametrize("library", IMAGES)
def test_an_image_of_any_library_has_the_labels_of_its_file(model, scan, library):
    expected = model.segment(scan).labels
    assert expected.any()
    labels = model.segment(IMAGES[library](scan)).labels
    if library == "SimpleITK":  # it rounds the direction
        assert (labels != expected).mean() < 1e-3
    else:
        np.testing.assert_array_equal(labels, expected)


def test_maps_are_options_of_the_call(model, scan):
    plain = model.segment(scan)
    assert (plain.attention, plain.entropy) == ({}, None)
    watched = model.segment(scan, attention=True, uncertainty=True)
    assert list(watched.attention) == [0]
    for values in (watched.attention[0], watched.entropy):
        assert values.shape == plain.labels.shape
        assert 0 <= np.nanmin(values) <= np.nanmax(values) <= 1


def test_a_map_is_not_a_number_where_no_window_ran(model, scan):
    result = model.segment(scan)
    stored = np.zeros_like(result.labels)
    stored[0, 0, :2] = 1, 255
    seen = replace(result, segmentation=replace(result.segmentation, attention={0: stored}))
    assert seen.attention[0][0, 0, :2].tolist() == [0, 1]
    assert np.isnan(seen.attention[0]).sum() == stored.size - 2


def test_an_open_gate_changes_the_labels_of_this_call_only(model, scan):
    before = model.segment(scan).labels
    opened = model.segment(scan, open_levels=[0], attention=True)
    assert np.nanmin(opened.attention[0]) == 1
    np.testing.assert_array_equal(model.segment(scan).labels, before)


def test_a_result_is_saved_as_the_command_line_writes_it(
    model, scan, tiny_bundle, tmp_path, monkeypatch
):
    path = model.segment(scan, attention=True).save(tmp_path / "ours")
    options = ("--bundle", tiny_bundle, "--device", "cpu", "--backend", "eager", "--attention")
    assert run(monkeypatch, "segment", scan, "-o", tmp_path / "theirs", *options) == 0
    theirs = tmp_path / "theirs"
    assert names_in(path.parent) == names_in(theirs)
    for name in names_in(theirs):
        if name.endswith(".nii.gz"):
            assert (path.parent / name).read_bytes() == (theirs / name).read_bytes()
    said = {}
    for folder in (path.parent, theirs):
        manifest = json.loads(next(folder.glob("*.manifest.json")).read_text())
        said[folder] = {key: manifest[key] for key in manifest if key != "seconds"}
    assert said[path.parent] == said[theirs]
    assert run(monkeypatch, "segment", scan, "-o", path.parent, *options, "--resume") == 0
    summary = json.loads((path.parent / "summary.json").read_text())
    assert summary["counts"] == {"check": 1} or summary["counts"] == {"kept": 1}


def test_a_scan_in_memory_is_saved_under_its_name(model, scan, tmp_path):
    image = nib.load(scan)
    array = np.asarray(image.dataobj)
    for name in ("first", "second"):
        model.segment((array, image.affine), name=name).save(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [case["case"] for case in summary["cases"]] == ["first", "second"]
    assert [case["scan"] for case in summary["cases"]] == ["", ""]
    assert monai_attn.report(tmp_path).exists()


def test_what_no_run_made_is_not_lost(model, scan, tmp_path):
    drawn = tmp_path / f"{scan.name.removesuffix('.nii.gz')}_seg.nii.gz"
    drawn.write_text("by hand")
    with pytest.raises(ValueError, match=f"{drawn}: is not a result of an earlier run"):
        model.segment(scan).save(tmp_path)
    assert names_in(tmp_path) == [drawn.name]
    assert drawn.read_text() == "by hand"


def test_two_scans_without_a_name_do_not_replace_each_other(model, scan, tmp_path):
    image = nib.load(scan)
    data = np.asarray(image.dataobj)
    first = model.segment((data, image.affine))
    target = first.save(tmp_path)
    first.save(tmp_path)  # the same scan
    with pytest.raises(ValueError, match="Give each scan a name of its own"):
        model.segment((data + 1, image.affine)).save(tmp_path)
    assert target.name == "scan_seg.nii.gz"


def test_an_image_in_memory_is_one_volume(model, scan):
    with pytest.raises(ValueError, match=r"is an image in memory\. Leave out volume"):
        model.segment(nib.load(scan), volume=0)
    with pytest.raises(ValueError, match=r"scan \(=\[\]\): no channels"):
        model.segment([])
    with pytest.raises(ValueError, match="no scans are named"):
        model.segment_folder([], "out")


def test_a_result_shows_itself_in_one_line(model, scan):
    image = nib.load(scan)
    result = model.segment((np.asarray(image.dataobj), image.affine), name="ct")
    ml = result.volumes_ml["pancreas"]
    assert repr(result).startswith(f"Result('ct', pancreas: {ml:.1f} ml")
    assert "\n" not in repr(result)
    assert "[[[" not in repr(read_volume(scan))


def test_labels_leave_as_an_image_of_either_library(model, scan):
    result = model.segment(scan)
    np.testing.assert_array_equal(np.asarray(result.to_nibabel().dataobj), result.labels)
    image = result.to_simpleitk()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, result.labels)
    original = sitk.ReadImage(str(scan))
    np.testing.assert_allclose(image.GetOrigin(), original.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(image.GetDirection(), original.GetDirection(), atol=1e-5)
    np.testing.assert_allclose(image.GetSpacing(), original.GetSpacing(), atol=1e-5)


def test_a_result_draws_itself(model, scan):
    assert model.segment(scan).figure().axes
    assert model.segment(nib.load(scan)).figure().axes


def test_a_doubtful_scan_says_so_in_the_result(model, scan):
    image = nib.load(scan)
    shifted = (np.asarray(image.dataobj) + 1024, image.affine)
    result = model.segment(shifted, name="shifted")
    assert any("shifted" in line for line in result.warnings)
    with pytest.raises(ValueError, match=r"^shifted: .*HU shifted by 1024"):
        model.segment(shifted, name="shifted", strict=True)


def test_a_folder_is_segmented_in_one_call(model, phantoms, tmp_path):
    seen = []
    results = model.segment_folder(
        phantoms / "imagesTr", tmp_path / "out", report=True, on_case=seen.append
    )
    assert [result.name for result in results] == [f"phantom_{i:04}" for i in range(5, 9)]
    assert {result.scan for result in seen} == {result.scan for result in results}
    assert all(result.target.exists() for result in results)
    assert {"report.html", "summary.csv", "summary.json"} < set(names_in(tmp_path / "out"))


def test_a_broken_scan_ends_its_case_and_not_the_others(model, phantoms, tmp_path):
    good = sorted((phantoms / "imagesTr").iterdir())[0]
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(good.read_bytes()[:1000])
    failed, made = model.segment_folder([bad, good], tmp_path / "out")
    assert failed.error.startswith(f"{bad}: ")
    assert made.error == ""
    with pytest.raises(ValueError, match=r"bad\.nii\.gz: "):
        model.segment(bad)


def test_the_cost_is_known_before(model, scan):
    estimate = model.estimate(scan)
    assert estimate.seconds > 0
    assert len(estimate.plan.windows) <= estimate.plan.total
    assert model.estimate(nib.load(scan)).plan.windows == estimate.plan.windows


def test_no_scan_is_a_type_error(model):
    with pytest.raises(TypeError, match="image of type NoneType"):
        model.segment(None)


def test_memory_may_be_a_text(tiny_bundle, scan):
    small = monai_attn.load(tiny_bundle, "cpu", backend="eager", memory="1 MiB")
    with pytest.raises(ValueError, match=f"{scan.name}: takes .* of memory"):
        small.segment(scan)


def test_a_model_names_itself(model):
    assert repr(model) == "Model('pancreas_ct_attention_segmentation', labels: pancreas, cpu)"
