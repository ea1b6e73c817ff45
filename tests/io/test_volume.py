import gzip
import warnings
from hashlib import sha256

import nibabel as nib
import numpy as np
import pytest

from monai_attn.io.errors import ScanWarning
from monai_attn.io.scan import AIR, open_scan, read_grid, read_volume
from scans import AFFINE, SHAPE, VALUES, fails, patch, save

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


@pytest.mark.parametrize("end", [(".hdr", ".img"), (".HDR", ".IMG")])
@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
def test_a_pair_of_files_is_read_by_either_name(tmp_path, kind, end):
    kind(VALUES.astype(np.int16), AFFINE).to_filename(tmp_path / "a.hdr")
    for old, new in zip((".hdr", ".img"), end, strict=True):
        (tmp_path / f"a{old}").rename(tmp_path / f"a{new}")
    for name in end:
        volume = read_volume(tmp_path / f"a{name}")
        np.testing.assert_array_equal(volume.data, VALUES)
        np.testing.assert_array_equal(volume.affine, AFFINE)
    (tmp_path / f"a{end[1]}").unlink()
    fails(f"a{end[0]}: a{end[1]} is missing next to it; copy", read_volume, tmp_path / f"a{end[0]}")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_one_volume_of_several_is_picked(tmp_path, name):
    path = save(tmp_path / name, np.stack([VALUES, VALUES + 100, VALUES + 200], axis=-1))
    for number in range(3):
        volume = read_volume(path, volume=number)
        np.testing.assert_array_equal(volume.data, VALUES + 100 * number)
        assert volume.trailing == 0
    fails(f"{path}: 4 dimensions, (4, 3, 2, 3); one volume expected. Choose one", read_volume, path)
    fails("with volume=N, N from 0 to 2", read_grid, path)
    for number in (-1, 3):
        fails(f"{path}: no volume {number} (expected 0 to 2)", read_volume, path, volume=number)
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    fails(str(path), read_volume, path, volume=0)  # also what comes behind is checked


def test_an_option_that_does_not_apply_is_refused(tmp_path):
    path = save(tmp_path / "a.nii")
    np.testing.assert_array_equal(read_volume(path, volume=0).data, VALUES)
    fails(
        f"{path}: is a NIfTI file, which has no series to choose", read_volume, path, series="1.2"
    )
    fails("a DICOM series, which has no volume to choose", read_volume, tmp_path, volume=1)


def test_a_gzip_file_of_several_members(tmp_path):
    """As pigz and bgzip write, and cat joins."""
    raw = save(tmp_path / "a.nii").read_bytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(b"".join(gzip.compress(raw[i : i + 100]) for i in range(0, len(raw), 100)))
    np.testing.assert_array_equal(read_volume(path).data, VALUES)


@pytest.mark.parametrize("extra", [(1,), (1, 1), (1, 1, 1, 1)])
def test_trailing_axes_of_one_voxel_are_dropped(tmp_path, extra):
    path = save(tmp_path / "a.nii", VALUES.reshape(SHAPE + extra))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, VALUES)
    assert volume.trailing == len(extra)


def test_a_slice_is_a_volume_of_one_slice(tmp_path):
    assert read_volume(save(tmp_path / "a.nii", VALUES[..., :1])).data.shape == (4, 3, 1)


# --- what is refused


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
    patch(path, 42, np.array([32767, 32767, 1], np.int16).tobytes())  # dim
    fails(f"{path}: the file is cut short (got 544 bytes, expected 8589", read_volume, path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_voxels_that_the_header_does_not_name(tmp_path, name):
    """A header that says half of the slices would give half of the patient."""
    path = save(tmp_path / name, np.zeros((64, 64, 32), np.int16))
    raw = path.read_bytes() if name == "a.nii" else gzip.decompress(path.read_bytes())
    half = raw[:46] + np.int16(16).tobytes() + raw[48:]
    path.write_bytes(half if name == "a.nii" else gzip.compress(half))
    fails(f"{path}: more bytes than its header describes (expected 131424)", read_volume, path)


def test_padding_to_a_block_is_no_fault(tmp_path):
    path = save(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes().ljust(4096, b"\0"))
    np.testing.assert_array_equal(read_volume(path).data, VALUES)


def test_a_stream_that_never_ends_is_left(tmp_path):
    """A few kilobytes of gzip can hold gigabytes."""
    path = save(tmp_path / "a.nii")
    zeros = gzip.compress(bytes(2**20))
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()) + zeros * 20_000)  # 20 GB
    fails(f"{packed}: more bytes than its header describes (expected 544)", read_volume, packed)


# --- voxels without a value


def with_holes(path, *holes, dtype=np.float32, shape=(4, 3, 10)):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    values.flat[: len(holes)] = holes
    return save(path, values)


def test_a_few_voxels_without_a_value_become_air_with_a_warning(tmp_path):
    path = with_holes(tmp_path / "a.nii", np.nan, np.inf, -np.inf)
    with pytest.warns(ScanWarning, match=r"a\.nii: 3 voxels are NaN or infinite; set to -1024"):
        data = read_volume(path).data
    assert data.flat[:4].tolist() == [AIR, AIR, AIR, 3]


def test_many_voxels_without_a_value_are_an_error(tmp_path):
    path = with_holes(tmp_path / "a.nii", *[np.nan] * 7)
    fails(f"{path}: 7 of 120 voxels are NaN or infinite (expected at most 5%)", read_volume, path)
    assert np.isnan(read_volume(path, fill=None).data).sum() == 7


def test_a_slope_that_leaves_no_finite_value_is_an_error(tmp_path):
    path = save(tmp_path / "a.nii", np.full(SHAPE, 10, np.int16))
    patch(path, 112, np.array([3e38, 0], np.float32).tobytes())
    fails(f"{path}: 24 of 24 voxels are NaN or infinite", read_volume, path)


def test_a_value_beyond_float32_is_infinite(tmp_path):
    path = with_holes(tmp_path / "a.nii", 1e300, dtype=np.float64)
    with pytest.warns(ScanWarning, match=r"1 voxel is NaN or infinite") as caught:
        assert read_volume(path).data.flat[0] == AIR
    assert len(caught) == 1


def test_voxels_without_a_value_are_filled_or_kept_as_asked(tmp_path):
    path = with_holes(tmp_path / "a.nii", np.nan)
    with pytest.warns(ScanWarning, match="set to 0"):
        assert read_volume(path, fill=0).data.flat[0] == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(read_volume(path, fill=None).data.flat[0])


# --- what it is stored in


def test_the_hash_of_a_scan_is_that_of_its_files(tmp_path):
    path = save(tmp_path / "a.nii.gz")
    assert open_scan(path).sha256 == sha256(path.read_bytes()).hexdigest()
    nib.Nifti1Pair(VALUES.astype(np.int16), AFFINE).to_filename(tmp_path / "b.hdr")
    both = [(tmp_path / f"b.{end}").read_bytes() for end in ("hdr", "img")]
    for end in ("hdr", "img"):
        assert open_scan(tmp_path / f"b.{end}").sha256 == sha256(b"".join(both)).hexdigest()
