import warnings

import nibabel as nib
import numpy as np
import pytest

from monai_attn.io.errors import ScanWarning
from monai_attn.io.nifti.header import read_header
from monai_attn.io.scan import read_grid, read_volume
from monai_attn.io.writer import write_labels
from scans import AFFINE, VALUES, fails, patch, save, turned


def patched(path, fields):
    """Fields of a header as they could not be written by nibabel: {name: value, or (index, value)}."""
    raw = bytearray(path.read_bytes())
    kind = nib.Nifti2Header if raw[0] == 28 else nib.Nifti1Header
    header = np.frombuffer(raw[: kind.sizeof_hdr], kind.template_dtype).copy()
    for name, value in fields.items():
        if isinstance(value, tuple):
            header[name][0, value[0]] = value[1]
        else:
            header[name][0] = value
    path.write_bytes(header.tobytes() + raw[kind.sizeof_hdr :])
    return path


# fields, the fault
BAD_FIELDS = {
    "sizeof_hdr": ({"sizeof_hdr": 349}, "not a NIfTI file but a file of unknown kind; convert it"),
    "no magic": ({"magic": b""}, "the magic bytes are unknown, or those of Analyze 7.5"),
    "magic of a pair": (
        {"magic": b"ni1"},
        "the magic bytes are those of a pair (expected those of a single",
    ),
    "no dimensions": ({"dim": (0, 0)}, "0 dimensions (expected 1 to 7)"),
    "eight dimensions": ({"dim": (0, 8)}, "8 dimensions (expected 1 to 7)"),
    "negative dimension": ({"dim": (2, -3)}, "no voxels in a shape of (4, -3, 2)"),
    "a dimension of 0": ({"dim": (3, 0)}, "no voxels in a shape of (4, 3, 0)"),
    "two dimensions": ({"dim": (0, 2)}, "2 dimensions (4, 3) (expected one 3D volume); stack"),
    "vectors": (
        {"dim": [5, 4, 3, 2, 1, 3, 1, 1]},
        "5 dimensions (4, 3, 2, 1, 3), several numbers per",
    ),
    "too many voxels": (
        {"dim": [3, 32767, 32767, 3, 1, 1, 1, 1]},
        "3221028867 voxels (limit 2147483648)",
    ),
    "unknown type": ({"datatype": 999}, "unknown voxel type (code 999)"),
    "complex": ({"datatype": 32, "bitpix": 64}, "voxel type complex64 (expected one real number"),
    "RGB": ({"datatype": 128, "bitpix": 24}, "voxel type RGB (expected one real number"),
    "bits of another type": ({"bitpix": 8}, "voxel type int16 in 8 bits (expected 16)"),
    "voxels inside the header": (
        {"vox_offset": 300},
        "the first voxel is at byte 300 (expected 352 or slightly more)",
    ),
    "voxels nowhere": ({"vox_offset": 0}, "the first voxel is at byte 0 (expected 352"),
    "voxels before the file": (
        {"vox_offset": -352},
        "the first voxel is at byte -352 (expected 352",
    ),
    "voxels at a fraction": (
        {"vox_offset": 352.5},
        "the first voxel is at byte 352.5 (expected 352",
    ),
    "voxels far away": ({"vox_offset": 1e30}, "the first voxel is at byte 1e+30 (expected 352"),
    "offset NaN": ({"vox_offset": np.nan}, "the first voxel is at byte nan (expected 352"),
    "voxels behind the end": (
        {"vox_offset": 4000},
        "the file is cut short (got 400 bytes, expected 4048)",
    ),
    "slope infinite": ({"scl_slope": np.inf}, "slope inf and intercept 0.0 (expected finite"),
    "intercept NaN": (
        {"scl_slope": 2, "scl_inter": np.nan},
        "slope 2.0 and intercept nan (expected finite",
    ),
    "metres": ({"xyzt_units": 1}, "the unit of length is metres (expected mm)"),
    "micrometres": ({"xyzt_units": 3 + 8}, "the unit of length is micrometres (expected mm)"),
    "unknown sform code": ({"sform_code": 9}, "sform and qform codes (9, 0) (expected 0 to 5)"),
    "negative qform code": ({"qform_code": -1}, "sform and qform codes (2, -1) (expected 0 to 5)"),
    "affine NaN": ({"srow_y": np.nan}, "the affine is not finite: [["),
    "affine infinite": ({"srow_y": (3, np.inf)}, "the affine is not finite: [["),
    "affine singular": ({"srow_y": 0}, "the affine is singular: [["),
    "rows parallel": ({"srow_y": [-2, 0, 0, 0]}, "the affine is singular: [["),
    "spacing of metres": (
        {"srow_z": [0, 0, 0.005, 0]},
        "spacing 2 x 1 x 0.005 mm (expected 0.05 to 20",
    ),
    "spacing of a localizer": (
        {"srow_z": [0, 0, 25, 0]},
        "spacing 2 x 1 x 25 mm (expected 0.05 to 20",
    ),
    "no spacing": (
        {"sform_code": 0, "pixdim": (2, 0)},
        "spacing 1 x 0 x 1 mm and no sform (expected above 0)",
    ),
    "NaN spacing": ({"sform_code": 0, "pixdim": (2, np.nan)}, "spacing 1 x nan x 1 mm and no"),
    "negative spacing": ({"sform_code": 0, "pixdim": (2, -1)}, "spacing 1 x -1 x 1 mm and no"),
    "no rotation": (
        {"sform_code": 0, "qform_code": 1, "quatern_b": 3},
        "the qform is not a rotation (",
    ),
    "no handedness": (
        {"sform_code": 0, "qform_code": 1, "pixdim": (0, -2)},
        "the qform is not a rotation (qfac (pixdim[0]) should be 1 or -1) and there is no sform",
    ),
}


@pytest.mark.parametrize(("fields", "fault"), BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
def test_fields_that_make_no_sense(tmp_path, fields, fault):
    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(VALUES.astype(np.int16), None)
    image.set_sform(AFFINE, code=2)
    image.to_filename(path)
    read_volume(path)
    fails(f"{path}: {fault}", read_volume, patched(path, fields))


# fields of a sound file that a strict reader could stumble over
GOOD_FIELDS = {
    "no scaling by 0": {"scl_slope": 0, "scl_inter": 99},
    "no scaling by NaN": {"scl_slope": np.nan, "scl_inter": np.nan},
    "no unit": {"xyzt_units": 0},
    "mm and seconds": {"xyzt_units": 2 + 8},
    "dimensions that are not in use": {"dim": (5, -7)},
    "spacing beside an sform": {"pixdim": [0, 0, -1, np.nan, 0, 0, 0, 0]},
    "quaternion beside an sform": {"quatern_b": 3},
    "voxels a little later": {"vox_offset": 352},
}


@pytest.mark.parametrize("fields", GOOD_FIELDS.values(), ids=GOOD_FIELDS.keys())
def test_fields_that_do_not_matter(tmp_path, fields):
    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(VALUES.astype(np.int16), None)
    image.set_sform(AFFINE, code=2)
    image.to_filename(path)
    volume = read_volume(patched(path, fields))  # a warning would be an error here
    np.testing.assert_array_equal(volume.data, VALUES)
    np.testing.assert_array_equal(volume.affine, AFFINE)


@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("length", [4, 100, 347])
def test_a_header_that_is_cut(tmp_path, kind, length):
    path = tmp_path / "a.nii"
    path.write_bytes(kind.sizeof_hdr.to_bytes(4, "little") + bytes(length - 4))
    fails(f"{path}: the header is cut short (got {length} bytes", read_volume, path)


# --- extensions


def with_extensions(path, *contents, size=None):
    image = nib.Nifti1Image(VALUES.astype(np.int16), AFFINE)
    for content in contents:
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", content))
    image.to_filename(path)
    return path if size is None else patch(path, 352, np.int32(size).tobytes())


def test_voxels_lie_behind_the_extensions(tmp_path):
    path = with_extensions(tmp_path / "a.nii", b"first" * 100, b"second")
    assert nib.load(path).dataobj.offset > 852
    np.testing.assert_array_equal(read_volume(path).data, VALUES)


@pytest.mark.parametrize("size", [-16, 3, 10**6])
def test_an_extension_that_ends_nowhere(tmp_path, size):
    path = with_extensions(tmp_path / "a.nii", b"first", size=size)
    fails(f"{path}: header extensions reach past the first voxel; export", read_volume, path)


# --- where it lies


def two_forms(path, sform_code, qform_code, qform=turned()):  # noqa: B008
    """A file whose sform is AFFINE and whose qform is another."""
    image = nib.Nifti1Image(VALUES.astype(np.int16), None)
    image.set_sform(AFFINE, code=1)
    image.set_qform(qform, code=1)
    image.to_filename(path)
    return patch(path, 252, np.array([qform_code, sform_code], np.int16).tobytes())


# sform code, qform code, the affine, the code that goes with it
FORMS = {
    "sform alone": (4, 0, AFFINE, 4),
    "qform where there is no sform": (0, 3, turned(), 3),
}


@pytest.mark.parametrize(
    ("sform_code", "qform_code", "affine", "code"), FORMS.values(), ids=FORMS.keys()
)
def test_which_form_places_the_volume(tmp_path, sform_code, qform_code, affine, code):
    for read in (read_volume, read_grid):
        grid = read(two_forms(tmp_path / "a.nii", sform_code, qform_code))
        np.testing.assert_allclose(grid.affine, affine, atol=1e-4)
        assert (grid.form_code, grid.qform) == (code, None)


def test_a_qform_that_leads_elsewhere_is_warned_about_and_kept(tmp_path):
    """A program that follows the qform sees the scan there, and must see the labels there too."""
    path = two_forms(tmp_path / "a.nii", 2, 1)
    with pytest.warns(ScanWarning, match=r"a\.nii: the qform is up to .* mm away from the sform"):
        volume = read_volume(path)
    np.testing.assert_array_equal(volume.affine, AFFINE)
    written = nib.load(write_labels(tmp_path / "b.nii", VALUES, volume))
    np.testing.assert_array_equal(written.affine, AFFINE)
    np.testing.assert_allclose(written.get_qform(), nib.load(path).get_qform(), atol=1e-5)
    assert written.header["qform_code"] > 0


def test_forms_that_differ_by_rounding_are_one(tmp_path):
    near = AFFINE.copy()
    near[0, 3] += 0.01
    volume = read_volume(two_forms(tmp_path / "a.nii", 1, 1, near))
    assert volume.qform is None


# the qform that stands beside an sform of 2 x 1 x 5 mm, LPS
OTHER_SCANS = {
    "left for right": AFFINE @ np.diag([-1, 1, 1, 1]),
    "another spacing": AFFINE @ np.diag([1, 1, 1.2, 1]),
    "axes exchanged": AFFINE[:, [1, 0, 2, 3]],
}


@pytest.mark.parametrize("qform", OTHER_SCANS.values(), ids=OTHER_SCANS.keys())
def test_forms_of_two_scans_are_refused(tmp_path, qform):
    path = two_forms(tmp_path / "a.nii", 1, 1, qform)
    for read in (read_volume, read_grid):
        fails(f"{path}: sform 2 x 1 x 5 mm LPS and qform ", read, path)


def test_without_any_form_the_spacing_places_the_volume(tmp_path):
    path = two_forms(tmp_path / "a.nii", 0, 0)
    with pytest.warns(ScanWarning, match=r"a\.nii: neither sform nor qform; left and right are"):
        volume = read_volume(path)
    np.testing.assert_array_equal(volume.affine, nib.load(path).affine)
    np.testing.assert_array_equal(nib.affines.voxel_sizes(volume.affine), (2, 1, 5))
    labels = write_labels(tmp_path / "b.nii", np.ones(volume.data.shape, np.uint8), volume)
    written = nib.load(labels)
    np.testing.assert_array_equal(written.affine, volume.affine)
    codes = [int(written.header[f"{form}_code"]) for form in ("sform", "qform")]
    assert codes == [0, 0], "every reader places it as it places the scan"


def test_a_qform_that_is_no_rotation_is_warned_about(tmp_path):
    path = two_forms(tmp_path / "a.nii", 1, 1)
    patch(path, 256, np.array([3, 3, 3], np.float32).tobytes())
    with pytest.warns(ScanWarning, match=r"a\.nii: the qform is not a rotation; the sform is used"):
        np.testing.assert_array_equal(read_volume(path).affine, AFFINE)


def test_a_handedness_of_0_stands_for_1(tmp_path):
    image = nib.Nifti1Image(VALUES.astype(np.int16), None)
    image.set_qform(np.diag([2, 1, 5, 1]), code=1)
    image.to_filename(tmp_path / "a.nii")
    path = patched(tmp_path / "a.nii", {"pixdim": (0, 0)})
    np.testing.assert_array_equal(read_volume(path).affine, np.diag([2, 1, 5, 1]))


def test_what_is_doubtful_is_said_once(tmp_path):
    path = two_forms(tmp_path / "a.nii", 0, 0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_grid(path)
        read_volume(path)
    assert len(caught) == 1


def test_a_header_tells_what_is_stored(tmp_path):
    path = save(tmp_path / "a.nii", np.stack([VALUES] * 5, axis=-1).astype(">i2"))
    with path.open("rb") as stream:
        header = read_header(path, stream)
        assert stream.tell() == header.offset == 352
    assert (header.volumes, header.dtype, header.volume_bytes) == (5, np.int16, 48)
    assert (header.slope, header.intercept, header.doubts) == (1, 0, ())


def test_many_small_extensions_are_walked_once(tmp_path):
    """A megabyte of them, in a file of a few kilobytes, would take minutes if each were a copy."""
    path = with_extensions(tmp_path / "a.nii", b"first")
    raw, count = bytearray(path.read_bytes()), 2**20
    raw[108:112] = np.float32(352 + 16 * count).tobytes()  # vox_offset
    extension = np.array([16, 6, 0, 0], np.int32).tobytes()
    path.write_bytes(raw[:352] + extension * count + raw[-48:])
    np.testing.assert_array_equal(read_volume(path).data, VALUES)


def test_a_file_that_was_sent_as_a_text(tmp_path):
    path = save(tmp_path / "a.nii", VALUES.astype(np.int16), kind=nib.Nifti2Image)
    patch(path, 8, b"\n\x1a\n\n")  # the end of its magic
    fails(
        f"{path}: line ends were changed, as by a transfer in text mode; copy it again",
        read_volume,
        path,
    )
