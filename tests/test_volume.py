import gzip
import warnings

import nibabel as nib
import numpy as np
import pytest

from monai_attn.data.grid import same_grid
from monai_attn.data.volume import (
    AIR,
    Volume,
    case_name,
    read_volume,
    save_nifti,
    write_labels,
    write_map,
)

SHAPE = (4, 3, 2)
VALUES = np.arange(24).reshape(SHAPE)
AFFINE = np.array([[-2.0, 0, 0, 90], [0, -1, 0, 120], [0, 0, 5, -300], [0, 0, 0, 1]])  # LPS, in RAS


def turned(degrees=20):
    """The affine of a patient who lies askew."""
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ AFFINE


def sheared():
    """The affine of a tilted gantry: the slices slide along y."""
    affine = AFFINE.copy()
    affine[1, 2] = 1.5
    return affine


AFFINES = {
    "RAS": np.diag([2.0, 1.0, 5.0, 1.0]),
    "LPS": AFFINE,
    "axes exchanged": AFFINE[:, [2, 0, 1, 3]],
    "oblique": turned(),
    "sheared": sheared(),
}


def save(path, values=VALUES, affine=AFFINE, kind=nib.Nifti1Image, **header):
    """A file as another program would write it, with header fields set at will."""
    image = kind(values, affine, dtype=values.dtype)
    for name, value in header.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def patch(path, offset, raw):
    """Overwrite bytes of a NIfTI-1 header, where nibabel would refuse to write them."""
    content = bytearray(path.read_bytes())
    content[offset : offset + len(raw)] = raw
    path.write_bytes(content)
    return path


def fails(message, call, *arguments, **options):
    with pytest.raises(ValueError, match=r".") as raised:
        call(*arguments, **options)
    text = str(raised.value)
    assert "\n" not in text
    assert "; " in text  # the remedy follows
    assert message in text


# --- what comes in

DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">u2", ">f4", ">f8"]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_formats(tmp_path, name, kind):
    volume = read_volume(str(save(tmp_path / name, VALUES.astype(np.int16), kind=kind)))
    np.testing.assert_array_equal(volume.data, VALUES)
    np.testing.assert_array_equal(volume.affine, AFFINE)
    assert (volume.data.dtype, volume.affine.dtype) == (np.float32, np.float64)
    assert volume.path == tmp_path / name


@pytest.mark.parametrize("dtype", DTYPES)
def test_types_and_byte_orders(tmp_path, dtype):
    order = {">": ">"}.get(dtype[0], "<")
    path, values = tmp_path / "a.nii", VALUES.astype(dtype)
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(values.dtype)
    nib.Nifti1Image(values, AFFINE, header).to_filename(path)
    assert path.read_bytes()[:2] == (b"\x00\x00" if order == ">" else b"\x5c\x01")
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, VALUES)
    assert volume.data.dtype == np.dtype("=f4")


# slope, intercept, what a stored 10 means
SCALES = [(1, -1024, -1014), (0.5, 2, 7), (-1, 0, -10), (0, 99, 10), (np.nan, np.nan, 10)]


@pytest.mark.parametrize(("slope", "intercept", "value"), SCALES)
def test_slope_and_intercept_give_hounsfield_units(tmp_path, slope, intercept, value):
    path = save(tmp_path / "a.nii", np.full(SHAPE, 10, np.int16))
    patch(path, 112, np.array([slope, intercept], np.float32).tobytes())
    assert (read_volume(path).data == value).all()


def test_a_file_named_gz_need_not_be_compressed_nor_the_other_way_round(tmp_path):
    plain = save(tmp_path / "a.nii").read_bytes()
    (tmp_path / "plain.nii.gz").write_bytes(plain)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(plain))
    for name in ("plain.nii.gz", "packed.nii"):
        np.testing.assert_array_equal(read_volume(tmp_path / name).data, VALUES)


def test_a_gzip_file_of_several_members(tmp_path):
    """As pigz and bgzip write, and cat joins."""
    raw = save(tmp_path / "a.nii").read_bytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(b"".join(gzip.compress(raw[i : i + 100]) for i in range(0, len(raw), 100)))
    np.testing.assert_array_equal(read_volume(path).data, VALUES)


@pytest.mark.parametrize("extra", [(1,), (1, 1), (1, 1, 1, 1)])
def test_trailing_axes_of_one_voxel_are_dropped(tmp_path, extra):
    path = save(tmp_path / "a.nii", VALUES.reshape(SHAPE + extra))
    np.testing.assert_array_equal(read_volume(path).data, VALUES)


def test_a_slice_is_a_volume_of_one_slice(tmp_path):
    assert read_volume(save(tmp_path / "a.nii", VALUES[..., :1])).data.shape == (4, 3, 1)


# --- where it lies


def two_forms(path, sform_code, qform_code):
    """A file whose sform is AFFINE and whose qform is turned()."""
    image = nib.Nifti1Image(VALUES.astype(np.int16), None)
    image.set_sform(AFFINE, code=1)
    image.set_qform(turned(), code=1)
    image.to_filename(path)
    return patch(path, 252, np.array([qform_code, sform_code], np.int16).tobytes())


# sform code, qform code, the affine, the code that goes with it
FORMS = {
    "sform over qform": (2, 1, AFFINE, 2),
    "sform alone": (4, 0, AFFINE, 4),
    "qform where there is no sform": (0, 3, turned(), 3),
}


@pytest.mark.parametrize(
    ("sform_code", "qform_code", "affine", "code"), FORMS.values(), ids=FORMS.keys()
)
def test_which_form_places_the_volume(tmp_path, sform_code, qform_code, affine, code):
    volume = read_volume(two_forms(tmp_path / "a.nii", sform_code, qform_code))
    np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
    assert volume.form_code == code


def test_without_any_form_the_spacing_places_the_volume(tmp_path):
    path = two_forms(tmp_path / "a.nii", 0, 0)
    with pytest.warns(UserWarning, match=r"a\.nii: neither sform nor qform; which side is left"):
        volume = read_volume(path)
    np.testing.assert_array_equal(volume.affine, nib.load(path).affine)
    np.testing.assert_array_equal(nib.affines.voxel_sizes(volume.affine), (2, 1, 5))
    labels = write_labels(tmp_path / "b.nii", np.ones(volume.data.shape, np.uint8), volume)
    written = nib.load(labels)
    np.testing.assert_array_equal(written.affine, volume.affine)
    codes = [int(written.header[f"{form}_code"]) for form in ("sform", "qform")]
    assert codes == [0, 0], "every reader places it as it places the scan"


def test_an_unsound_qform_does_not_matter_beside_an_sform(tmp_path):
    path = two_forms(tmp_path / "a.nii", 1, 0)
    patch(path, 256, np.array([3, 3, 3], np.float32).tobytes())  # no rotation has this quaternion
    np.testing.assert_array_equal(read_volume(path).affine, AFFINE)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_what_nibabel_repairs_as_it_loads_is_refused(tmp_path, kind):
    """It takes an unknown code for 0 and a spacing of 0 for 1: organs would move."""
    unknown = save(tmp_path / "a.nii", kind=kind)
    code = np.array([9, 9], np.int16 if kind is nib.Nifti1Image else np.int32)
    patch(unknown, 252 if kind is nib.Nifti1Image else 344, code.tobytes())
    fails(f"{unknown}: sform and qform codes (9, 9); NIfTI's are 0 to 5", read_volume, unknown)


@pytest.mark.parametrize("size", [0, np.nan])
def test_a_spacing_that_is_none_matters_where_there_is_no_sform(tmp_path, size):
    for code in (0, 1):
        path = two_forms(tmp_path / f"{code}.nii", code, 1)
        patch(path, 84, np.array([size], np.float32).tobytes())  # pixdim[2]
    fails(f"{tmp_path}/0.nii: spacing [2.0, {float(size)}, 5.0]", read_volume, tmp_path / "0.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "1.nii").affine, AFFINE)


def test_small_voxels_are_not_taken_for_none(tmp_path):
    tiny = np.diag([1e-3, 1e-3, 1e-3, 1.0])
    np.testing.assert_allclose(read_volume(save(tmp_path / "a.nii", affine=tiny)).affine, tiny)


# --- what is refused

NIFTI = b"\x5c\x01\x00\x00"
NOT_NIFTI = {
    "empty": b"",
    "text": b"not an image\n",
    "HTML": b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n" * 20,
    "zeros": bytes(1000),
    "header cut": NIFTI + bytes(100),
    "NIfTI-2 cut": b"\x1c\x02\x00\x00" + bytes(100),
    "gzip of text": gzip.compress(b"not an image\n" * 100),
    "gzip of nothing": gzip.compress(b""),
}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("content", NOT_NIFTI.values(), ids=NOT_NIFTI.keys())
def test_what_is_not_nifti(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    fails(f"{tmp_path / name}: not a NIfTI file (", read_volume, tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_every_truncation_is_an_error(tmp_path, name):
    path = save(tmp_path / name, np.random.default_rng(0).normal(size=SHAPE))
    whole = path.read_bytes()
    read_volume(path)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        fails(str(path), read_volume, path)


def test_every_flipped_bit_of_the_compressed_voxels_is_an_error(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(8, 8, 8)))
    whole = path.read_bytes()
    for position in range(len(whole) // 2, len(whole), 53):
        rotten = bytearray(whole)
        rotten[position] ^= 8
        path.write_bytes(rotten)
        fails(f"{path}: cannot be read to its end (", read_volume, path)


def test_noise_inside_the_compressed_voxels(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(16, 16, 16)))
    whole = path.read_bytes()
    for seed in range(40):
        noise = np.random.default_rng(seed).bytes(100)
        path.write_bytes(whole[:5000] + noise + whole[5100:])
        fails(f"{path}: cannot be read to its end (", read_volume, path)


def test_bit_rot_that_nibabel_does_not_see(tmp_path):
    """nibabel stops at the last voxel and never compares the checksum behind it."""
    path = save(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(16, 16, 16)))
    patch(path, path.stat().st_size - 8, b"\x00\x00\x00\x00")  # the CRC
    nib.load(path).get_fdata()
    fails(f"{path}: cannot be read to its end (CRC", read_volume, path)


def test_a_header_that_promises_more_than_memory_holds(tmp_path):
    path = save(tmp_path / "a.nii")
    patch(path, 42, np.array([32767] * 3, np.int16).tobytes())  # dim
    fails(f"{path}: holds 544 bytes of the 28", read_volume, path)


# values, the fault
BAD_VALUES = {
    "4D": (np.zeros((4, 3, 2, 2)), "4 dimensions (4, 3, 2, 2); one 3D volume is expected: extract"),
    "one volume of many axes": (np.zeros((4, 3, 2, 1, 2)), "5 dimensions (4, 3, 2, 1, 2); one 3D"),
    "2D": (np.zeros((4, 3)), "2 dimensions (4, 3); one 3D volume is expected"),
    "no voxels": (np.zeros((4, 0, 2)), "no voxels, its shape is (4, 0, 2); export it again"),
    "complex": (np.zeros(SHAPE, "c8"), "voxels of type complex64; one number for each voxel"),
    "RGB": (np.zeros(SHAPE, [(c, "u1") for c in "RGB"]), "voxels of type [('R', 'u1'), ('G', "),
    "all NaN": (np.full(SHAPE, np.nan), "no voxel has a finite value; export it again"),
}


@pytest.mark.parametrize(("values", "fault"), BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_what_is_no_volume(tmp_path, values, fault):
    path = save(tmp_path / "a.nii", values)
    fails(f"{path}: {fault}", read_volume, path)
    if "finite" in fault:
        fails(f"{path}: {fault}", read_volume, path, fill=None)


# the sform's second row, the fault
BAD_ROWS = {
    "NaN": ([np.nan, 0, 0, 0], "the affine is not finite, [["),
    "infinite": ([0, 1, 0, np.inf], "the affine is not finite, [["),
    "zero": ([0, 0, 0, 0], "the affine is singular, [["),
    "parallel to the first": ([-2, 0, 0, 0], "the affine is singular, [["),
}


@pytest.mark.parametrize(("row", "fault"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_an_affine_that_places_no_volume(tmp_path, row, fault):
    path = patch(save(tmp_path / "a.nii"), 296, np.array(row, np.float32).tobytes())
    fails(f"{path}: {fault}", read_volume, path)


def test_a_header_field_that_makes_no_sense(tmp_path):
    path = save(tmp_path / "a.nii")
    patch(path, 70, np.array([999], np.int16).tobytes())  # datatype
    fails(f"{path}: not a NIfTI file (data code 999 not", read_volume, path)


def test_paths_that_are_no_file(tmp_path):
    (tmp_path / "folder.nii").mkdir()
    fails(f"{tmp_path}/a.nii: does not exist; name a NIfTI file", read_volume, tmp_path / "a.nii")
    fails("folder.nii: is not a regular file; name", read_volume, tmp_path / "folder.nii")
    fails(f"{tmp_path}: a NIfTI file (.nii.gz or .nii) is expected; ", read_volume, tmp_path)


# --- voxels without a value


def with_holes(path, *holes, dtype=np.float32):
    values = VALUES.astype(dtype)
    values.flat[: len(holes)] = holes
    return save(path, values)


def test_voxels_without_a_value_become_air_with_a_warning(tmp_path):
    path = with_holes(tmp_path / "a.nii", np.nan, np.inf, -np.inf)
    with pytest.warns(UserWarning, match=r"a\.nii: 3 voxels are NaN or infinite; taken as -1024"):
        data = read_volume(path).data
    assert data.flat[:4].tolist() == [AIR, AIR, AIR, 3]


def test_a_value_beyond_float32_is_infinite(tmp_path):
    path = with_holes(tmp_path / "a.nii", 1e300, dtype=np.float64)
    with pytest.warns(UserWarning, match=r"1 voxel is NaN or infinite") as caught:
        assert read_volume(path).data.flat[0] == AIR
    assert len(caught) == 1


def test_voxels_without_a_value_are_filled_or_kept_as_asked(tmp_path):
    path = with_holes(tmp_path / "a.nii", np.nan)
    with pytest.warns(UserWarning, match="taken as 0"):
        assert read_volume(path, fill=0).data.flat[0] == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(read_volume(path, fill=None).data.flat[0])


# --- names

NAMES = [("a.nii.gz", "a"), ("/x/a.b.nii", "a.b"), ("A.NII.GZ", "A"), ("a.nii.nii.gz", "a.nii")]


@pytest.mark.parametrize(("path", "name"), NAMES)
def test_a_case_is_named_after_its_file(path, name):
    assert case_name(path) == name


@pytest.mark.parametrize("path", ["a", "a.gz", "a.nii.bz2", "nii", ".nii", ".nii.gz", "a.img"])
def test_a_name_without_nifti_suffix(path):
    fails(f"{path}: a NIfTI file (.nii.gz or .nii) is expected; convert it", case_name, path)


# --- what goes out


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
    "negative": (-labels(), "values from -1 to 0 of type int64; labels are whole numbers from 0"),
    "too large": (labels(65536), "values from 0 to 65536 of type int64; labels are whole numbers"),
    "fractions": (labels() * 0.5, "values from 0.0 to 0.5 of type float64; labels are whole"),
    "NaN": (labels() * np.nan, "values from nan to nan of type float64; labels are whole"),
    "another shape": (labels()[:2], "labels of shape (2, 3, 2) do not lie on the grid of {scan} "),
    "axes exchanged": (labels().T, "labels of shape (2, 3, 4) do not lie on the grid of {scan} "),
    "a channel": (labels()[None], "labels of shape (1, 4, 3, 2) do not lie on the grid of"),
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
    fails("a.mha: a NIfTI file", write_labels, tmp_path / "a.mha", labels(), source)
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
    files = [save_nifti(tmp_path / f"{name}{suffix}", labels(), AFFINE) for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    if suffix == ".nii.gz":
        flags, time = files[0].read_bytes()[3], files[0].read_bytes()[4:8]
        assert (flags, time) == (0, bytes(4)), "neither the file's name nor the time"


def test_a_map_of_fractions_is_stored_in_bytes(tmp_path):
    source = scan(tmp_path, turned())
    stored = np.asfortranarray(VALUES.astype(np.uint8) * 10)
    path = write_map(tmp_path / "a.nii.gz", stored, source, slope=0.5, intercept=-1)
    image = nib.load(path)
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(image.get_fdata(), VALUES * 5.0 - 1)
    np.testing.assert_allclose(image.affine, source.affine, atol=1e-5)
    np.testing.assert_array_equal(read_volume(path).data, VALUES * 5.0 - 1)


def test_labels_without_a_scan_are_in_scanner_space(tmp_path):
    header = nib.load(save_nifti(tmp_path / "a.nii", labels(), AFFINE)).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)


def test_reading_what_was_written_is_the_identity(tmp_path):
    first = scan(tmp_path, turned())
    path = write_labels(tmp_path / "a.nii.gz", first.data.astype(np.uint8), first)
    again = read_volume(path)
    assert again == Volume(SHAPE, again.affine, first.form_code, path, again.data)
    np.testing.assert_array_equal(again.data, first.data)
    np.testing.assert_array_equal(again.affine, first.affine)
