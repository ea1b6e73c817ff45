"""NRRD, MetaImage and MGZ: read as SimpleITK and nibabel read them, and refused where these guess."""

import gzip
import zlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.affines import from_matvec
from nibabel.eulerangles import euler2mat

from monai_attn.io.scan import AIR, open_scan, read_grid, read_volume
from scans import SHAPE, VALUES, fails, patch

OBLIQUE = euler2mat(0.2, -0.3, 0.4)
SPACING, FIRST = (2.0, 1.0, 5.0), (-90.5, 20.25, 300.0)
NAMES = ("a.nrrd", "a.mha", "a.mhd", "A.NRRD")


def image(dtype=np.int16, directions=OBLIQUE):
    """An image of SimpleITK, with the voxels of `VALUES`."""
    made = sitk.GetImageFromArray(VALUES.T.astype(dtype))
    made.SetSpacing(SPACING)
    made.SetOrigin(FIRST)
    made.SetDirection(directions.ravel().tolist())
    return made


def nrrd(**fields):
    """The bytes of an NRRD file, with fields set at will; one that is None is left out."""
    fields = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "4 3 2",
        "space_directions": "(2,0,0) (0,1,0) (0,0,5)",
        "endian": "little",
        "encoding": "raw",
        "space_origin": "(0,0,0)",
        "voxels": VALUES.T.astype("<i2").tobytes(),
        **fields,
    }
    voxels = fields.pop("voxels")
    lines = [
        f"{key.replace('_', ' ')}: {value}" for key, value in fields.items() if value is not None
    ]
    return "\n".join(["NRRD0005", "# a comment", *lines, "key:=value", "", ""]).encode() + voxels


def mha(**fields):
    """The bytes of a MetaImage file, with fields set at will."""
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "ElementSpacing": "2 1 5",
        "DimSize": "4 3 2",
        "ElementType": "MET_SHORT",
        "ElementDataFile": "LOCAL",
        "voxels": VALUES.T.astype("<i2").tobytes(),
        **fields,
    }
    voxels = fields.pop("voxels")
    fields["ElementDataFile"] = fields.pop("ElementDataFile")  # the last one
    lines = [f"{key} = {value}" for key, value in fields.items() if value is not None]
    return "\n".join([*lines, ""]).encode() + voxels


def put(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_as_simpleitk_reads_it(tmp_path, name, packed, dtype):
    path = tmp_path / name
    sitk.WriteImage(image(dtype), path, useCompression=packed)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, VALUES)
    found = sitk.ReadImage(path)
    for index in ((0, 0, 0), (3, 2, 1)):
        place = np.array(found.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], place, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
def test_a_file_is_read_as_nibabel_reads_it(tmp_path, name, dtype):
    affine = from_matvec(OBLIQUE * SPACING, FIRST)
    content = nib.MGHImage(VALUES.astype(dtype), affine).to_bytes()
    put(tmp_path / name, gzip.compress(content) if name.endswith("z") else content)
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.data, VALUES)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-4)


def test_spaces_and_byte_orders_of_nrrd(tmp_path):
    lps = read_grid(put(tmp_path / "a.nrrd", nrrd())).affine
    for space, signs in (("RAS", [-1, -1, 1]), ("left-anterior-superior", [1, -1, 1])):
        other = read_grid(put(tmp_path / "b.nrrd", nrrd(space=space))).affine
        np.testing.assert_allclose(other[:3, :3], np.diag(signs) @ lps[:3, :3])
    big = nrrd(endian="big", voxels=VALUES.T.astype(">i2").tobytes())
    np.testing.assert_array_equal(read_volume(put(tmp_path / "c.nrrd", big)).data, VALUES)


def test_the_files_of_a_pair_make_its_checksum(tmp_path):
    sitk.WriteImage(image(), tmp_path / "a.mhd")
    scan = open_scan(tmp_path / "a.mhd")
    assert [file.name for file in scan.files] == ["a.mhd", "a.raw"]


def test_a_few_voxels_without_a_value_become_air_with_a_warning(tmp_path):
    voxels = np.zeros((8, 8, 8), np.float32)
    voxels[0, 0, 0] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(voxels), tmp_path / "a.nrrd")
    with pytest.warns(UserWarning, match="1 voxel is NaN or infinite"):
        volume = read_volume(tmp_path / "a.nrrd")
    assert volume.data[0, 0, 0] == AIR
    fails("24 of 24 voxels are NaN", read_volume, put(tmp_path / "b.nrrd", ALL_NAN))


ALL_NAN = nrrd(type="float", voxels=np.full(24, np.nan, "<f4").tobytes())
PACKED = zlib.compress(VALUES.T.astype("<i2").tobytes())
# the name, its content, what is said of it
REFUSED = {
    "nrrd: no directions": ("a.nrrd", nrrd(space_directions=None), "has no space directions; "),
    "nrrd: only spacings": (
        "a.nrrd",
        nrrd(space_directions=None, spacings="2 1 5"),
        "has no space directions; ",
    ),
    "nrrd: no space": ("a.nrrd", nrrd(space=None), "has no space; export it again"),
    "nrrd: another space": ("a.nrrd", nrrd(space="scanner-xyz"), "space 'scanner-xyz' (expected "),
    "nrrd: directions of none": (
        "a.nrrd",
        nrrd(space_directions="none (0,1,0) (0,0,5)"),
        "(expected 3 of 3 numbers)",
    ),
    "nrrd: no numbers": ("a.nrrd", nrrd(sizes="4 three 2"), "the field 'sizes' holds no numbers"),
    "nrrd: four dimensions": (
        "a.nrrd",
        nrrd(dimension="4", sizes="2 4 3 1", kinds="list domain domain domain"),
        "4 dimensions (2, 4, 3, 1), list domain domain domain (expected one 3D volume)",
    ),
    "nrrd: singular": (
        "a.nrrd",
        nrrd(space_directions="(2,0,0) (2,0,0) (0,0,5)"),
        "the affine is singular",
    ),
    "nrrd: metres": (
        "a.nrrd",
        nrrd(space_directions="(.001,0,0) (0,.001,0) (0,0,.001)"),
        "spacing",
    ),
    "nrrd: unit": (
        "a.nrrd",
        nrrd(space_units='"m" "m" "m"'),
        "the unit of length is m (expected mm)",
    ),
    "nrrd: detached": ("a.nrrd", nrrd(data_file="a.raw"), "its voxels lie in another file; "),
    "nrrd: encoding": ("a.nrrd", nrrd(encoding="bzip2"), "encoding 'bzip2' (expected raw or gzip)"),
    "nrrd: skip": ("a.nrrd", nrrd(byte_skip="-1"), "has a byte skip (expected none)"),
    "nrrd: type": ("a.nrrd", nrrd(type="block"), "voxel type 'block' (expected one real"),
    "nrrd: no end": ("a.nrrd", nrrd()[:60], "the header has no end; copy it again"),
    "nrrd: cut short": ("a.nrrd", nrrd()[:-1], "cut short (got 47 bytes, expected 48)"),
    "nrrd: cut short, packed": (
        "a.nrrd",
        nrrd(encoding="gzip", voxels=gzip.compress(bytes(48))[:-9]),
        "cannot be read to its end",
    ),
    "nrrd: too long": ("a.nrrd", nrrd(voxels=bytes(70000)), "more bytes than its header describes"),
    "nrrd: huge": ("a.nrrd", nrrd(sizes="1000 1000 1000"), "the file is cut short"),
    "nrrd: a web page": ("a.nrrd", b"<!DOCTYPE html>", "not an NRRD file but a web page"),
    "nrrd: empty": ("a.nrrd", b"", "is empty; copy it again"),
    "mha: no spacing": ("a.mha", mha(ElementSpacing=None), "has no ElementSpacing; export"),
    "mha: a spacing of 0": ("a.mha", mha(ElementSpacing="2 0 5"), "(expected above 0)"),
    "mha: two numbers": ("a.mha", mha(Offset="1 2"), "Offset '1 2' (expected 3 numbers)"),
    "mha: two dimensions": (
        "a.mha",
        mha(NDims="2", DimSize="4 6"),
        "2 dimensions (4, 6) (expected one",
    ),
    "mha: colours": ("a.mha", mha(ElementNumberOfChannels="3"), "ElementNumberOfChannels is '3'"),
    "mha: text": ("a.mha", mha(BinaryData="False"), "BinaryData is 'False' (expected true)"),
    "mha: a type": ("a.mha", mha(ElementType="MET_OTHER"), "voxel type MET_OTHER"),
    "mha: cut short": ("a.mha", mha()[:-1], "cut short (got 47 bytes, expected 48)"),
    "mha: packed, cut short": (
        "a.mha",
        mha(CompressedData="True", voxels=PACKED[:-3]),
        "cannot be read to its end (the stream ends early)",
    ),
    "mha: packed, damaged": (
        "a.mha",
        mha(CompressedData="True", voxels=PACKED[:-1] + b"!"),
        "cannot be read to its end",
    ),
    "mha: no header": ("a.mha", mha()[:40], "the header has no ElementDataFile"),
    "mha: another kind": ("a.mha", b"NRRD0004", "not a MetaImage file but an NRRD file; rename it"),
    "mhd: no voxels": ("a.mhd", mha(ElementDataFile="gone.raw"), "gone.raw is missing next to it"),
    "mhd: elsewhere": (
        "a.mhd",
        mha(ElementDataFile="../b.raw"),
        "its voxels lie in another folder",
    ),
    "mhd: slices": ("a.mhd", mha(ElementDataFile="LIST"), "a file for each slice; save it as one"),
    "mgz: another kind": ("a.mgz", gzip.compress(b"NRRD0004"), "not an MGZ file but an NRRD file"),
    "mgz: not packed": ("a.mgz", b"\0\0\0\1" + bytes(400), "named .gz, but not compressed"),
    "mgh: the header": (
        "a.mgh",
        b"\0\0\0\1" + bytes(100),
        "the header is cut short (got 104 bytes",
    ),
}


@pytest.mark.parametrize(("name", "content", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_would_be_a_guess_or_a_part_is_refused(tmp_path, name, content, message):
    path = put(tmp_path / name, content)
    fails(message, read_volume, path)
    fails(str(path), read_volume, path)


def test_an_mgz_without_a_place_or_with_several_volumes_is_refused(tmp_path):
    made = nib.MGHImage(VALUES.astype(np.int16), np.eye(4))
    put(tmp_path / "a.mgh", made.to_bytes())
    patch(tmp_path / "a.mgh", 28, b"\0\0")
    fails("no place in space", read_volume, tmp_path / "a.mgh")
    several = nib.MGHImage(np.zeros((*SHAPE, 2), np.int16), np.eye(4))
    several.to_filename(tmp_path / "b.mgz")
    fails("4 dimensions (4, 3, 2, 2) (expected one", read_volume, tmp_path / "b.mgz")


def test_a_guess_at_left_and_right_is_a_doubt(tmp_path):
    path = put(tmp_path / "a.mha", mha(TransformMatrix=None))
    with pytest.warns(UserWarning, match="no TransformMatrix; left and right are a guess"):
        read_volume(path)
    path = put(tmp_path / "a.nrrd", nrrd(space_origin=None))
    with pytest.warns(UserWarning, match="no space origin; 0 is used"):
        read_volume(path)


def test_these_files_have_neither_volumes_nor_series_to_choose(tmp_path):
    path = put(tmp_path / "a.nrrd", nrrd())
    fails("is a file in .nrrd, which has no volume to choose", open_scan, path, volume=0)
    fails("no DICOM series, which has no series to choose", open_scan, path, series="1")
