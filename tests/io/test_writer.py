import warnings

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.affines import from_matvec
from nibabel.eulerangles import euler2mat

from monai_attn.io.grid import Grid, grid_offset, same_grid
from monai_attn.io.map_encoding import to_bytes
from monai_attn.io.scan import read_volume
from monai_attn.io.writer import write_labels, write_map
from scans import AFFINE, AFFINES, SHAPE, VALUES, fails, save, turned


def scan(folder, affine=AFFINE):
    """A scan whose file holds no qform."""
    image = nib.Nifti1Image(VALUES.astype(np.int16), None)
    image.set_sform(affine, code=2)
    image.to_filename(folder / "scan.nii.gz")
    return read_volume(folder / "scan.nii.gz")


def labels(largest=1):
    return (VALUES > 12) * np.int64(largest)


@pytest.mark.parametrize("name", ["a.nii.gz", "deep/er/a.nii"])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_labels_lie_on_the_scans_grid(tmp_path, affine, name):
    source = scan(tmp_path, affine)
    path = write_labels(str(tmp_path / name), labels(), source)
    assert path == tmp_path / name
    written = nib.load(path)
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels())
    assert same_grid(SHAPE, written.affine, affine)
    assert same_grid(SHAPE, written.get_sform(), affine)
    assert int(written.header["sform_code"]) == 2
    assert written.header.get_xyzt_units()[0] == "mm"
    again = read_volume(path)
    np.testing.assert_array_equal(again.data, labels())
    assert again.form_code == source.form_code


@pytest.mark.parametrize("digits", [2, 3, 4])
def test_itk_opens_the_labels_of_a_scan_whose_axes_are_rounded(tmp_path, digits):
    """ITK refuses axes that are not at right angles, which a rounded header has."""
    shape, axes = (64, 48, 20), euler2mat(0.2, 0.4, 0.6)
    affine = from_matvec(np.round(axes, digits) * [0.8, 0.8, 2.5], [-50, 20, -300])
    scan = save(tmp_path / "a.nii", np.zeros(shape, np.int16), affine, qform_code=0)
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        volume = read_volume(scan)
    assert [str(doubt.message).split(",")[0] for doubt in doubts] == (
        [f"{scan}: its axes are rounded and not at right angles"] if digits < 4 else []
    )
    path = write_labels(tmp_path / "b.nii.gz", np.ones(shape, np.uint8), volume.grid)
    assert same_grid(shape, nib.load(path).affine, affine)
    image = sitk.ReadImage(path)
    place = image.TransformIndexToPhysicalPoint((63, 47, 19))
    there = (affine @ [63, 47, 19, 1])[:3] * [-1, -1, 1]
    assert np.linalg.norm(place - there) < 0.5 * 0.8


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_a_qform_is_written_only_where_it_tells_the_truth(tmp_path, affine):
    """Programs that read the qform and programs that read the sform see one place."""
    written = nib.load(write_labels(tmp_path / "a.nii", labels(), scan(tmp_path, affine)))
    qform, code = written.get_qform(coded=True)
    assert code == (0 if affine is AFFINES["sheared"] else 2)
    if code:
        assert same_grid(SHAPE, qform, affine)


# largest label, type on disk
TYPES = [(0, "u1"), (1, "u1"), (255, "u1"), (256, "u2"), (65535, "u2")]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
@pytest.mark.parametrize(("largest", "stored"), TYPES)
def test_the_smallest_type_that_holds_the_labels(tmp_path, largest, stored, dtype):
    path = write_labels(tmp_path / "a.nii", labels(largest).astype(dtype), scan(tmp_path))
    assert nib.load(path).get_data_dtype() == stored
    assert nib.load(path).dataobj.slope == 1
    np.testing.assert_array_equal(read_volume(path).data, labels(largest))


def test_a_mask_is_a_label_map(tmp_path):
    path = write_labels(tmp_path / "a.nii", VALUES > 12, scan(tmp_path))
    np.testing.assert_array_equal(read_volume(path).data, labels())


# labels, the fault
NO_LABELS = {
    "negative": (-labels(), "not labels (got values from -1 to 0 of type int64, expected whole"),
    "too large": (labels(65536), "not labels (got values from 0 to 65536 of type int64, expected"),
    "fractions": (
        labels() * 0.5,
        "not labels (got values from 0.0 to 0.5 of type float64, expected",
    ),
    "NaN": (labels() * np.nan, "not labels (got values from nan to nan of type float64, expected"),
    "another shape": (labels()[:2], "labels do not fit the grid of {scan} (got shape (2, 3, 2)"),
    "axes exchanged": (labels().T, "labels do not fit the grid of {scan} (got shape (2, 3, 4)"),
    "a channel": (labels()[None], "labels do not fit the grid of {scan} (got shape (1, 4, 3, 2)"),
}


@pytest.mark.parametrize(("values", "fault"), NO_LABELS.values(), ids=NO_LABELS.keys())
def test_what_is_no_label_map_of_the_scan_is_not_written(tmp_path, values, fault):
    source, path = scan(tmp_path), tmp_path / "a.nii"
    path.write_text("old")
    fails(f"{path}: {fault.format(scan=source.path)}", write_labels, path, values, source)
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["scan.nii.gz", "link.nii.gz", "hard.nii.gz", "x/../scan.nii.gz"])
def test_the_scan_itself_is_never_overwritten(tmp_path, name):
    source = scan(tmp_path)
    before = source.path.read_bytes()
    (tmp_path / "x").mkdir()
    (tmp_path / "link.nii.gz").symlink_to(source.path)
    (tmp_path / "hard.nii.gz").hardlink_to(source.path)
    message = f"{tmp_path / name}: is the scan itself; choose another output"
    fails(message, write_labels, tmp_path / name, labels(), source)
    assert source.path.read_bytes() == before


def test_labels_of_a_scan_that_is_gone_replace_an_older_file(tmp_path):
    source, path = scan(tmp_path), tmp_path / "a.nii"
    source.path.unlink()
    path.write_text("old")
    write_labels(path, labels(), source)
    np.testing.assert_array_equal(read_volume(path).data, labels())


def test_labels_need_a_nifti_name(tmp_path):
    source = scan(tmp_path)
    fails(
        "a.mha: the name of a label map must end in .nii.gz or .nii",
        write_labels,
        tmp_path / "a.mha",
        labels(),
        source,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_a_failed_write_leaves_the_old_labels(tmp_path, monkeypatch):
    source, path = scan(tmp_path), tmp_path / "a.nii.gz"
    path.write_text("old")

    def half(header, out):
        out.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(nib.Nifti1Header, "write_to", half)
    with pytest.raises(OSError, match="disk full"):
        write_labels(path, labels(), source)
    assert path.read_text() == "old"
    assert {p.name for p in tmp_path.iterdir()} == {"scan.nii.gz", "a.nii.gz"}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_the_same_labels_make_the_same_file(tmp_path, suffix):
    source = scan(tmp_path)
    files = [write_labels(tmp_path / f"{name}{suffix}", labels(), source) for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    if suffix == ".nii.gz":
        flags, time = files[0].read_bytes()[3], files[0].read_bytes()[4:8]
        assert (flags, time) == (0, bytes(4)), "neither the file's name nor the time"


def test_a_map_of_fractions_is_stored_in_bytes(tmp_path):
    source = scan(tmp_path, turned())
    stored = np.asfortranarray(VALUES.astype(np.uint8) * 10)
    path = write_map(tmp_path / "a.nii.gz", stored, source)
    image = nib.load(path)
    assert image.get_data_dtype() == np.uint8
    fractions = (stored - 1.0) / 254  # 0 to 1, and less where nothing was looked at
    np.testing.assert_allclose(image.get_fdata(), fractions, atol=1e-7)
    np.testing.assert_allclose(image.affine, source.affine, atol=1e-5)
    np.testing.assert_allclose(read_volume(path).data, fractions, atol=1e-7)
    np.testing.assert_array_equal(to_bytes(image.get_fdata()), stored)


@pytest.mark.parametrize("extra", [(1,), (1, 1, 1)])
def test_axes_of_one_voxel_are_given_back(tmp_path, extra):
    """Programs that compare shapes find that of the scan."""
    source = read_volume(save(tmp_path / "scan.nii.gz", VALUES.reshape(SHAPE + extra)))
    written = nib.load(write_labels(tmp_path / "a.nii.gz", labels(), source))
    assert written.shape == SHAPE + extra
    np.testing.assert_array_equal(np.asarray(written.dataobj).reshape(SHAPE), labels())


def test_a_scan_too_long_for_nifti_1(tmp_path):
    source = Grid((40_000, 1, 1), np.eye(4), 1, tmp_path / "scan.nii")
    path = write_labels(tmp_path / "a.nii", np.ones((40_000, 1, 1), np.uint8), source)
    assert isinstance(nib.load(path), nib.Nifti2Image)
    assert read_volume(path).data.sum() == 40_000


# shape, type, affine
grids = st.tuples(
    st.lists(st.integers(1, 9), min_size=3, max_size=3),
    st.sampled_from([1, 2, 255, 256, 65535]),
    st.lists(st.floats(0.06, 19), min_size=3, max_size=3),
    st.permutations(range(3)),
    st.lists(st.sampled_from([-1, 1]), min_size=3, max_size=3),
    st.floats(-180, 180),
    st.lists(st.floats(-2000, 2000), min_size=3, max_size=3),
    st.integers(0, 2**32),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(grid=grids, suffix=st.sampled_from([".nii", ".nii.gz"]))
def test_whatever_is_written_is_read_again_where_it_was(tmp_path, grid, suffix):
    shape, largest, spacing, order, signs, degrees, origin, seed = grid
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(np.multiply(spacing, signs)))[:, order]
    angle = np.radians(degrees)
    turn = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = origin
    values = np.random.default_rng(seed).integers(0, largest + 1, shape)
    like = Grid(tuple(shape), affine, 1, tmp_path / "scan.nii")
    again = read_volume(write_labels(tmp_path / f"a{suffix}", values, like))
    np.testing.assert_array_equal(again.data, values)
    assert grid_offset(like.shape, again.affine, affine) < 1e-3 * (1 + np.abs(origin).max() / 1000)
    other = nib.load(again.path)
    assert same_grid(like.shape, other.affine, again.affine)
    np.testing.assert_array_equal(np.asarray(other.dataobj), values)


def test_reading_what_was_written_is_the_identity(tmp_path):
    first = scan(tmp_path, turned())
    path = write_labels(tmp_path / "a.nii.gz", first.data.astype(np.uint8), first)
    again = read_volume(path)
    assert (again.shape, again.form_code, again.path) == (SHAPE, first.form_code, path)
    np.testing.assert_array_equal(again.data, first.data)
    np.testing.assert_array_equal(again.affine, first.affine)
