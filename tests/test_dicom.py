import itertools
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (its own short name)
from nibabel.affines import apply_affine
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.tag import Tag

from monai_attn.data.dicom import holds_dicom, is_dicom, read_series, series_files, series_grid
from monai_attn.data.errors import ScanWarning

SLICES, ROWS, COLUMNS = 3, 4, 5
STORED = 40 * np.random.default_rng(0).permutation(60).astype(np.int16).reshape(3, 4, 5)
HU = STORED.T - 1024.0
AXIAL = (1, 0, 0, 0, 1, 0)
TILT = np.radians(15)
TILTED = (1, 0, 0, 0, np.cos(TILT), np.sin(TILT))
OBLIQUE = (*np.round((0.8, 0.6, 0), 6), *np.round((-0.6 * 0.96, 0.8 * 0.96, 0.28), 6))
UID = "1.2.826.0.1.1"
CT = str(uid.CTImageStorage)
NUMBERS = itertools.count(100_000)  # of as many digits always: files have one length


def dataset(stored, **tags):
    """One slice as a scanner writes it, with tags set at will; a tag that is None is left out."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = tags.pop("syntax", uid.ExplicitVRLittleEndian)
    one.SOPClassUID, one.SOPInstanceUID = CT, f"1.2.8.{next(NUMBERS)}"
    one.PatientName, one.PatientID = "DOE^JANE", "SECRET"
    one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = "1.2.3", UID, "1.2.5"
    one.Modality, one.PhotometricInterpretation, one.SamplesPerPixel = "CT", "MONOCHROME2", 1
    one.Rows, one.Columns = stored.shape
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.PixelSpacing, one.SliceThickness = [0.7, 0.8], 5
    one.ImageOrientationPatient, one.ImagePositionPatient = list(AXIAL), [-100, -120, 30]
    one.RescaleSlope, one.RescaleIntercept = 1, -1024
    one.PixelData = stored.astype("<i2").tobytes()
    for name, value in tags.items():
        if value is None:
            delattr(one, name)
        else:
            setattr(one, name, value)
    one.file_meta.MediaStorageSOPClassUID = one.get("SOPClassUID", CT)
    one.file_meta.MediaStorageSOPInstanceUID = one.get("SOPInstanceUID", "1.2")
    return one


def save(one, path):
    """As a file with preamble, in the byte order its transfer syntax asks for."""
    syntax = one.file_meta.TransferSyntaxUID
    path.parent.mkdir(exist_ok=True)
    pydicom.dcmwrite(
        path,
        one,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=True,
    )
    return path


def normal(orientation):
    return np.cross(orientation[:3], orientation[3:])


def lps(orientation=AXIAL, step=None, count=SLICES, start=(-100, -120, 30)):
    """The positions of the slices: 2.5 mm apart along their normal, or by a step at will."""
    step = 2.5 * normal(orientation) if step is None else np.asarray(step)
    return [np.round(start + k * step, 6).tolist() for k in range(count)]


def series(folder, positions=None, stored=STORED, names=None, change=None, **tags):
    """A series of one slice for each position, and its files in that order.

    Args:
        change: tags of single slices, by their number.
    """
    orientation = tags.get("ImageOrientationPatient") or AXIAL
    positions = lps(orientation) if positions is None else positions
    names = names or [f"{k}.dcm" for k in range(len(positions))]
    paths = []
    for k, (name, position) in enumerate(zip(names, positions, strict=True)):
        own = {"ImagePositionPatient": list(position), **tags, **(change or {}).get(k, {})}
        paths.append(save(dataset(stored[k % len(stored)], **own), folder / name))
    return paths


def fails(message, call, *arguments, **options):
    with pytest.raises(ValueError, match=r".") as raised:
        call(*arguments, **options)
    text = str(raised.value)
    assert "\n" not in text
    assert "; " in text  # the remedy follows
    assert message in text
    assert "DOE" not in text
    assert "SECRET" not in text


# --- what is DICOM


def test_dicom_is_known_by_its_content(tmp_path):
    (path,) = series(tmp_path / "a", lps(count=1), names=["no suffix"])
    assert is_dicom(path)
    raw = path.read_bytes()
    for name, content in {"a.dcm": b"", "b.dcm": b"DICM", "c": raw[128:], "d": b"x" * 500}.items():
        (tmp_path / name).write_bytes(content)
        assert not is_dicom(tmp_path / name)
    assert not is_dicom(tmp_path)
    assert not is_dicom(tmp_path / "missing")


def test_a_pipe_is_no_dicom_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not is_dicom(tmp_path / "pipe")
    assert not holds_dicom(tmp_path)


def test_a_folder_holds_dicom_itself_and_not_hidden(tmp_path):
    (path,) = series(tmp_path / "deeper", lps(count=1))
    assert holds_dicom(tmp_path / "deeper")
    assert not holds_dicom(tmp_path)
    assert not holds_dicom(path)
    path.rename(path.with_name("._0.dcm"))
    assert not holds_dicom(tmp_path / "deeper")


# --- where it lies

# orientation, step from slice to slice (None: along the normal)
GEOMETRIES = {
    "axial": (AXIAL, None),
    "axial, feet first": ((-1, 0, 0, 0, 1, 0), None),
    "prone": ((-1, 0, 0, 0, -1, 0), None),
    "coronal": ((1, 0, 0, 0, 0, -1), None),
    "sagittal": ((0, 1, 0, 0, 0, -1), None),
    "oblique": (OBLIQUE, None),
    "tilted gantry": (TILTED, (0, 0, 2.5)),
}
geometries = pytest.mark.parametrize(
    ("orientation", "step"), GEOMETRIES.values(), ids=GEOMETRIES.keys()
)


def by_the_standard(position, orientation, column, row):
    """Where a pixel lies in LPS+ mm: PS3.3 equation C.7.6.2.1-1; spacing is between rows first."""
    return (
        np.asarray(position)
        + 0.8 * column * np.asarray(orientation[:3])
        + 0.7 * row * np.asarray(orientation[3:])
    )


@pytest.mark.filterwarnings("ignore:.*gantry tilt")  # one of the table is
@geometries
@pytest.mark.parametrize("names", [["0", "1", "2"], ["b", "c", "a"]], ids=["sorted", "shuffled"])
def test_each_voxel_lies_where_the_standard_puts_it(tmp_path, orientation, step, names):
    positions = lps(orientation, step)
    series(tmp_path, positions, ImageOrientationPatient=list(orientation), names=names)
    grid, data = read_series(tmp_path)
    assert grid.shape == data.shape == (COLUMNS, ROWS, SLICES)
    for (k, row, column), value in np.ndenumerate(STORED):
        (place,) = np.argwhere(data == value - 1024)
        x, y, z = by_the_standard(positions[k], orientation, column, row)
        np.testing.assert_allclose(apply_affine(grid.affine, place), (-x, -y, z), atol=1e-5)


@geometries
def test_slices_go_up_along_their_normal(tmp_path, orientation, step):
    positions = lps(orientation, step)
    paths = series(tmp_path, positions[::-1], ImageOrientationPatient=list(orientation))
    assert series_files(tmp_path) == paths[::-1]


@pytest.mark.parametrize("orientation", [GEOMETRIES[k][0] for k in ("axial", "coronal", "oblique")])
def test_straight_series_lie_where_simpleitk_puts_them(tmp_path, orientation):
    series(tmp_path, lps(orientation), ImageOrientationPatient=list(orientation))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    grid, data = read_series(tmp_path)
    np.testing.assert_array_equal(data, sitk.GetArrayFromImage(image).T)
    for place in [(0, 0, 0), (4, 3, 2)]:
        x, y, z = image.TransformIndexToPhysicalPoint(place)
        np.testing.assert_allclose(apply_affine(grid.affine, place), (-x, -y, z), atol=1e-4)


def test_the_grid_of_the_headers_is_that_of_the_voxels(tmp_path):
    series(tmp_path, lps(OBLIQUE), ImageOrientationPatient=list(OBLIQUE))
    grid, (read, _) = series_grid(tmp_path), read_series(tmp_path)
    assert (grid.shape, grid.form_code, grid.path) == ((5, 4, 3), 1, tmp_path)
    assert (read.shape, read.form_code, read.path) == ((5, 4, 3), 1, tmp_path)
    np.testing.assert_array_equal(grid.affine, read.affine)


def test_the_headers_spacing_between_slices_does_not_count(tmp_path):
    series(tmp_path, SliceThickness=7, SpacingBetweenSlices=-9)
    np.testing.assert_allclose(series_grid(tmp_path).affine[:3, 2], (0, 0, 2.5))


def test_rounded_directions_are_put_at_right_angles(tmp_path):
    rounded = [0.801, 0.6, 0, -0.6 * 0.96, 0.8 * 0.96, 0.28]
    series(tmp_path, lps(OBLIQUE), ImageOrientationPatient=rounded)
    axes = series_grid(tmp_path).affine[:3, :3]
    np.testing.assert_allclose(axes.T @ axes, np.diag([0.8, 0.7, 2.5]) ** 2, atol=3e-3)
    np.testing.assert_allclose((axes.T @ axes)[[0, 0, 1], [1, 2, 2]], 0, atol=1e-12)


# tags of the slice, its thickness
SINGLE = {
    "thickness before spacing": ({"SliceThickness": 3, "SpacingBetweenSlices": 4}, 3),
    "thickness": ({"SliceThickness": 3}, 3),
    "spacing, where there is no thickness": (
        {"SliceThickness": None, "SpacingBetweenSlices": 4},
        4,
    ),
}


@pytest.mark.parametrize(("tags", "thickness"), SINGLE.values(), ids=SINGLE.keys())
def test_one_slice_has_the_thickness_of_its_header(tmp_path, tags, thickness):
    series(tmp_path, lps(count=1), **tags)
    grid = series_grid(tmp_path)
    assert grid.shape == (5, 4, 1)
    np.testing.assert_allclose(grid.affine[:3, 2], (0, 0, thickness))


@pytest.mark.parametrize("thickness", [None, 0, ""])
def test_one_slice_without_a_thickness_is_no_scan(tmp_path, thickness):
    series(tmp_path, lps(count=1), SliceThickness=thickness)
    fails(f"{tmp_path}: one slice, 0.dcm, without a thickness; name", series_grid, tmp_path)


def test_a_tilted_gantry_is_warned_of_once_and_kept_in_the_grid(tmp_path):
    series(tmp_path, lps(TILTED, (0, 0, 2.5)), ImageOrientationPatient=list(TILTED))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grid = series_grid(tmp_path)
    np.testing.assert_allclose(grid.affine[:3, 2], (0, 0, 2.5))
    with pytest.warns(ScanWarning) as caught:
        read_series(tmp_path)
    (warning,) = caught
    said = f"{tmp_path}: gantry tilt of 15.0 degrees; resampled to straight axes"
    assert str(warning.message) == said
    assert warning.filename == __file__


# --- its values

# slope and intercept of each slice
SCALES = {
    "none": [(1, 0)] * 3,
    "one for each slice": [(1, -1024), (2, 10), (0.25, -3.5)],
    "fractions": [(0.333333, -0.5)] * 3,
    "beyond 16 bits": [(100, -1024)] * 3,
}


@pytest.mark.parametrize("scales", SCALES.values(), ids=SCALES.keys())
def test_slope_and_intercept_of_each_slice(tmp_path, scales):
    change = {k: {"RescaleSlope": s, "RescaleIntercept": i} for k, (s, i) in enumerate(scales)}
    series(tmp_path, change=change)
    _, data = read_series(tmp_path)
    expected = np.stack([STORED[k].T * float(s) + i for k, (s, i) in enumerate(scales)], axis=-1)
    np.testing.assert_allclose(data, expected, rtol=1e-6)
    assert data.dtype == np.float32


# what is left out, slope and intercept that are taken
PARTS = [
    (["RescaleSlope", "RescaleIntercept"], 1, 0),
    (["RescaleSlope"], 1, -1024),
    (["RescaleIntercept"], 2, 0),
]


@pytest.mark.parametrize(("missing", "slope", "intercept"), PARTS)
def test_values_without_a_scale_are_warned_of(tmp_path, missing, slope, intercept):
    series(tmp_path, **{"RescaleSlope": 2, **dict.fromkeys(missing)})
    with pytest.warns(
        ScanWarning, match="no rescale slope or intercept; 1 and 0 are taken"
    ) as caught:
        _, data = read_series(tmp_path)
    assert len(caught) == 1
    np.testing.assert_array_equal(data, STORED.T * slope + intercept)


# stored bits, sign, the bytes of -1000, 0 and 2000 or of what stands for them
BITS = {
    "signed": (16, 1, (-1000, 0, 2000), (-1000, 0, 2000)),
    "unsigned": (16, 0, (24, 1024, 60000), (24, 1024, 60000)),
    "12 in 16": (12, 0, (24, 1024, 4095), (24, 1024, 4095)),
    "12 in 16, signed": (12, 1, (0xC18, 0, 0x7D0), (-1000, 0, 2000)),
    "12 in 16, with an overlay above": (12, 0, (0xF018, 0x1400, 0x2FFF), (24, 1024, 4095)),
}


@pytest.mark.parametrize(("stored", "sign", "raw", "values"), BITS.values(), ids=BITS.keys())
def test_sign_and_bits(tmp_path, stored, sign, raw, values):
    series(
        tmp_path,
        Rows=1,
        Columns=3,
        BitsStored=stored,
        HighBit=stored - 1,
        PixelRepresentation=sign,
        PixelData=np.array(raw).astype("<u2").tobytes() + b"",
    )
    _, data = read_series(tmp_path)
    assert (data == np.subtract(values, 1024)[:, None, None]).all()


def by_simpleitk(compressor):
    """The slice's voxels packed by ITK's codecs: (transfer syntax, bytes)."""

    def pack(one, path):
        image = sitk.GetImageFromArray(one.pixel_array.astype(np.int16))
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.SetFileName(str(path.with_suffix(".packed.dcm")))
        writer.Execute(image)
        packed = pydicom.dcmread(path.with_suffix(".packed.dcm"))
        path.with_suffix(".packed.dcm").unlink()
        one.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
        one.PixelData = packed.PixelData
        one["PixelData"].is_undefined_length = True

    return pack


def by_pydicom(syntax):
    return lambda one, path: one.compress(syntax, generate_instance_uid=False)


def unpacked(syntax):
    def pack(one, path):
        one.file_meta.TransferSyntaxUID = syntax
        if not syntax.is_little_endian:
            one.PixelData = np.frombuffer(one.PixelData, "<i2").astype(">i2").tobytes()

    return pack


PACKERS = {
    uid.ExplicitVRLittleEndian: unpacked(uid.ExplicitVRLittleEndian),
    uid.ImplicitVRLittleEndian: unpacked(uid.ImplicitVRLittleEndian),
    uid.ExplicitVRBigEndian: unpacked(uid.ExplicitVRBigEndian),
    uid.DeflatedExplicitVRLittleEndian: unpacked(uid.DeflatedExplicitVRLittleEndian),
    uid.RLELossless: by_pydicom(uid.RLELossless),
    uid.JPEGLSLossless: by_pydicom(uid.JPEGLSLossless),
    uid.JPEGLosslessSV1: by_simpleitk("JPEG"),
    uid.JPEG2000Lossless: by_simpleitk("JPEG2000"),
}
BIG = np.random.default_rng(1).integers(0, 3000, (SLICES, 32, 40)).astype(np.int16)


def repack(paths, syntax):
    for path in paths:
        one = pydicom.dcmread(path)
        PACKERS[syntax](one, path)
        save(one, path)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    return paths


syntaxes = pytest.mark.parametrize("syntax", PACKERS, ids=lambda syntax: syntax.keyword)


@syntaxes
def test_any_transfer_syntax_gives_the_same_voxels(tmp_path, syntax):
    repack(series(tmp_path, stored=BIG), syntax)
    grid, data = read_series(tmp_path)
    np.testing.assert_array_equal(data, BIG.T - 1024)
    assert grid.shape == (40, 32, 3)


# --- what does not matter

OTHERS = {
    "another modality": {"Modality": "MR", "SOPClassUID": uid.MRImageStorage},
    "segmentation": {"Modality": "SEG", "SOPClassUID": uid.SegmentationStorage},
    "colours": {"Modality": "US", "SOPClassUID": uid.UltrasoundImageStorage, "SamplesPerPixel": 3},
    "a dose report as a picture": {
        "SOPClassUID": uid.SecondaryCaptureImageStorage,
        "ImagePositionPatient": None,
    },
    **{
        name: {"Modality": name, "SOPClassUID": kind, "PixelData": None, "Rows": None}
        for name, kind in {
            "RTSTRUCT": uid.RTStructureSetStorage,
            "SR": uid.XRayRadiationDoseSRStorage,
            "PR": uid.GrayscaleSoftcopyPresentationStateStorage,
            "REG": uid.SpatialRegistrationStorage,
            "OT": uid.RawDataStorage,
        }.items()
    },
}


@pytest.mark.parametrize("tags", OTHERS.values(), ids=OTHERS.keys())
def test_what_is_no_ct_slice_does_not_matter_beside_one_series(tmp_path, tags):
    paths = series(tmp_path)
    save(dataset(STORED[0], SeriesInstanceUID="1.2.9", **tags), tmp_path / "other")
    assert series_files(tmp_path) == paths


def test_other_files_do_not_matter(tmp_path):
    paths = series(tmp_path)
    (tmp_path / "notes.txt").write_text("DICM")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    shutil.copy(paths[0], tmp_path / "._0.dcm")
    series(tmp_path / "deeper", lps(start=(0, 0, 500)))
    (tmp_path / "DICOMDIR").write_bytes(directory(tmp_path).read_bytes())
    (tmp_path / "dir.tmp").unlink()
    assert series_files(tmp_path) == paths
    np.testing.assert_array_equal(read_series(tmp_path)[1], HU)


def directory(folder):
    tags = {"SOPClassUID": uid.MediaStorageDirectoryStorage, "PixelData": None, "Modality": None}
    return save(dataset(STORED[0], **tags), folder / "dir.tmp")


def test_series_are_chosen_by_their_uid(tmp_path):
    first = series(tmp_path)
    second = series(tmp_path, names=["x", "y", "z"], SeriesInstanceUID="1.2.9", stored=STORED + 1)
    assert series_files(tmp_path, UID) == first
    assert series_files(tmp_path, "1.2.9") == second
    np.testing.assert_array_equal(read_series(tmp_path, series="1.2.9")[1], HU + 1)
    message = f"{tmp_path}: 2 CT series, {UID} (3 slices), 1.2.9 (3 slices); choose one with --ser"
    for call in (series_files, series_grid, read_series):
        fails(message, call, tmp_path)
    message = f"{tmp_path}: no CT series 1.2 in it; there is {UID} (3 slices), 1.2.9 (3 slices)"
    fails(message, series_grid, tmp_path, series="1.2")


# --- what is refused


def test_folders_without_a_ct(tmp_path):
    fails(f"{tmp_path}/x: no folder; name one that holds", series_grid, tmp_path / "x")
    fails(f"{tmp_path}: no DICOM file in it; name the folder", series_grid, tmp_path)
    directory(tmp_path).rename(tmp_path / "DICOMDIR")
    fails(f"{tmp_path}: only a DICOMDIR, no slices in it; name", series_grid, tmp_path)
    for k, name in enumerate(("another modality", "RTSTRUCT")):
        save(dataset(STORED[0], **OTHERS[name]), tmp_path / str(k))
    fails(f"{tmp_path}: no CT slices in it, only MR, RTSTRUCT; ", series_grid, tmp_path)


def test_a_folder_of_dose_reports_holds_no_slices(tmp_path):
    save(dataset(STORED[0], **OTHERS["a dose report as a picture"]), tmp_path / "0")
    fails("no CT slices in it, only CT pictures; name a folder", series_grid, tmp_path)


def test_a_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    assert not holds_dicom(tmp_path)
    fails(f"{tmp_path}: cannot be read (Permission denied); make", series_grid, tmp_path)


def test_a_modality_that_is_no_code_is_not_shown(tmp_path):
    series(tmp_path, Modality="DOE JANE")
    fails("only unknown; name a folder", series_grid, tmp_path)


UP = [p[2] for p in lps(count=8)]  # 30, 32.5, ...

# heights of the slices, the fault
STACKS = {
    "one missing": (
        [30, 32.5, 37.5, 40],
        "1 slice missing, 5.00 mm between 1.dcm at 32.50 mm and 2",
    ),
    "one of three": (
        [30, 35, 37.5],
        "1 slice missing, 5.00 mm between 0.dcm at 30.00 mm and 1.dcm",
    ),
    "three missing": (
        [30, 32.5, 37.5, 40, 42.5, 50, 52.5, 55],
        "3 slices missing, 5.00 mm between 1.dcm at 32.50 mm and 2.dcm at 37.50 mm where others are",
    ),
    "uneven": ([30, 32.5, 36, 38.5], "slices from 2.50 to 3.50 mm apart, even spacing is expected"),
    "wider and wider": (
        [30 + 2 * k + 0.02 * k**2 for k in range(10)],
        "slices from 2.02 to 2.34 mm apart",
    ),
    "doubled": (
        [30, 32.5, 32.5, 35],
        "1.dcm and 2.dcm lie at one position (32.50 mm, one of 1 such",
    ),
    "two scans": (
        [30, 30, 32, 32, 34, 34],
        "0.dcm and 1.dcm lie at one position (30.00 mm, one of 3",
    ),
}


@pytest.mark.parametrize(("heights", "fault"), STACKS.values(), ids=STACKS.keys())
def test_stacks_that_are_no_volume(tmp_path, heights, fault):
    series(tmp_path, [(-100, -120, z) for z in heights])
    for call in (series_files, series_grid, read_series):
        fails(f"{tmp_path}: {fault}", call, tmp_path)


# heights of the slices, their spacing
ROUNDED = {
    "to hundredths": ([round(30 + 0.625 * k, 2) for k in range(50)], 0.625),
    "to tenths": ([round(30 + 0.625 * k, 1) for k in range(50)], 0.625),
    "by 1 % of a thick slice": ([0, 10, 20.09, 30], 10),
    "float noise": ([30 + 0.7 * k + 1e-5 * (-1) ** k for k in range(9)], 0.7),
}


@pytest.mark.parametrize(("heights", "spacing"), ROUNDED.values(), ids=ROUNDED.keys())
def test_rounded_positions_are_even(tmp_path, heights, spacing):
    series(tmp_path, [(-100, -120, z) for z in heights])
    assert series_grid(tmp_path).affine[2, 2] == pytest.approx(spacing, rel=2e-3)


# how the slices stray along x, their distance
STRAY = {
    "positions in tenths": ([0, 0.1, 0, 0.1], 1),
    "directions in three decimals": ([0.0005 * 20 * k for k in range(20)], 20),
}


@pytest.mark.parametrize(("stray", "gap"), STRAY.values(), ids=STRAY.keys())
def test_what_rounding_makes_of_a_straight_stack_is_no_tilt(tmp_path, stray, gap):
    series(tmp_path, [(-100 + x, -120, 30 + gap * k) for k, x in enumerate(stray)])
    np.testing.assert_allclose(series_grid(tmp_path).affine[:3, 2], (0, 0, gap), atol=1e-9)


def test_a_slice_beside_the_others(tmp_path):
    positions = lps(count=5)
    positions[2][0] += 3
    series(tmp_path, positions)
    fails(f"{tmp_path}: 2.dcm lies 3.00 mm beside the line of", series_grid, tmp_path)


def test_one_image_twice(tmp_path):
    series(tmp_path, change={0: {"SOPInstanceUID": "1.7"}, 2: {"SOPInstanceUID": "1.7"}})
    message = f"{tmp_path}: 0.dcm and 2.dcm are one image (one SOPInstanceUID); delete one of them"
    fails(message, series_grid, tmp_path)


def test_one_file_twice(tmp_path):
    shutil.copy(series(tmp_path)[1], tmp_path / "copy.dcm")
    fails("1.dcm and copy.dcm are one image (one SOPInstanceUID)", series_grid, tmp_path)


# tags of slice 1, the fault
ODD = {
    "another size": (
        {"Rows": 2, "Columns": 10},
        "(10, 2) columns and rows, most slices have (5, 4); move",
    ),
    "another pixel spacing": (
        {"PixelSpacing": [0.7, 0.9]},
        "(0.9, 0.7) mm between columns and rows, most slices have (0.8, 0.7)",
    ),
    "another orientation": (
        {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
        "(1, 0, 0, 0, 0, -1) of ImageOrientationPatient, most slices have (1, 0, 0, 0, 1, 0)",
    ),
    "turned a little": (
        {"ImageOrientationPatient": [0.999998, 0.002, 0, -0.002, 0.999998, 0]},
        "(0.999998, 0.002, 0, -0.002, 0.999998, 0) of ImageOrientationPatient",
    ),
    "no position": ({"ImagePositionPatient": None}, "no ImagePositionPatient; export"),
    "no orientation": ({"ImageOrientationPatient": None}, "no ImageOrientationPatient; export"),
    "no pixel spacing": ({"PixelSpacing": None}, "no PixelSpacing; export"),
    "spacing of 0": ({"PixelSpacing": [0, 0.7]}, "a PixelSpacing of 0 x 0.7 mm, above 0 is"),
    "negative spacing": ({"PixelSpacing": [0.7, -0.7]}, "a PixelSpacing of 0.7 x -0.7 mm, above"),
    "directions too long": (
        {"ImageOrientationPatient": [1.01, 0, 0, 0, 1, 0]},
        "an ImageOrientationPatient of lengths 1.01 and 1 with a product of 0, 1, 1 and 0 are",
    ),
    "no right angle": (
        {"ImageOrientationPatient": [1, 0, 0, 0.6, 0.8, 0]},
        "an ImageOrientationPatient of lengths 1 and 1 with a product of 0.6, 1, 1 and 0 are",
    ),
    "no directions": (
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        "an ImageOrientationPatient of lengths 0 and 0",
    ),
    "no number for a slope": (
        {"RescaleSlope": [1, 2]},
        "a RescaleSlope that is not 1 finite number;",
    ),
    "a slope of 0": ({"RescaleSlope": 0}, "a RescaleSlope of 0, which scales every voxel to one"),
}


@pytest.mark.parametrize(("tags", "fault"), ODD.values(), ids=ODD.keys())
def test_a_slice_at_fault_is_named(tmp_path, tags, fault):
    series(tmp_path, change={1: tags})
    for call in (series_grid, read_series):
        fails(f"{tmp_path}: 1.dcm has {fault}", call, tmp_path)


GARBAGE = [
    "abc",
    "",
    "nan\\nan",
    "nan\\nan\\nan\\nan\\nan\\nan",
    "1\\2\\3\\4",
    "1e400\\0\\0",
    "DOE^JANE",
]


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize(
    "name", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
)
def test_a_tag_without_numbers_is_named(tmp_path, name, text):
    paths = series(tmp_path)
    one = pydicom.dcmread(paths[1])
    value = text.encode() + b" " * (len(text) % 2)
    tag = Tag(name)
    one._dict[tag] = RawDataElement(tag, "DS", len(value), value, 0, False, True)
    save(one, paths[1])
    fault = f"a {name} that is not " if text else f"no {name}; "
    fails(f"{tmp_path}: 1.dcm has {fault}", series_grid, tmp_path)


# tags of slice 1, the fault
NO_SLICE = {
    "multi-frame": (
        {"NumberOfFrames": 2, "PixelData": STORED[:2].tobytes()},
        "multi-frame, one slice in each file is expected; convert to NIfTI first (dcm2niix)",
    ),
    "enhanced": (
        {"SOPClassUID": uid.EnhancedCTImageStorage},
        "multi-frame, one slice in each file is expected; convert",
    ),
    "RGB": (
        {
            "SamplesPerPixel": 3,
            "PhotometricInterpretation": "RGB",
            "PlanarConfiguration": 0,
            "PixelData": bytes(3 * 2 * ROWS * COLUMNS),
        },
        "RGB with 3 values for each voxel, MONOCHROME2 with 1 is expected; convert",
    ),
    "turned to its negative": (
        {"PhotometricInterpretation": "MONOCHROME1"},
        "MONOCHROME1 with 1 values for each voxel, MONOCHROME2 with 1 is expected; convert",
    ),
}


@pytest.mark.parametrize(("tags", "fault"), NO_SLICE.values(), ids=NO_SLICE.keys())
def test_what_is_no_slice_of_one_value_for_each_voxel(tmp_path, tags, fault):
    series(tmp_path, change={1: tags})
    fails(f"{tmp_path}: 1.dcm is {fault}", series_grid, tmp_path)


# --- damage


def attempt(folder):
    """The voxels, or what is said in their place."""
    try:
        return read_series(folder)[1]
    except ValueError as error:
        return str(error)


@syntaxes
def test_every_cut_gives_an_error_or_the_whole_slice_and_silence(tmp_path, syntax, capfd):
    path = repack(series(tmp_path, stored=BIG), syntax)[1]
    whole = path.read_bytes()
    padded = 3 * (syntax.is_encapsulated or syntax.is_deflated)  # bytes behind the voxels, perhaps
    for cut in (1, 2, 3, 9, 17, 40, 200, len(whole) // 2, len(whole) - 300, len(whole) - 132):
        path.write_bytes(whole[:-cut])
        result = attempt(tmp_path)
        if isinstance(result, str):
            assert result.startswith(f"{tmp_path}: 1.dcm ")
            assert result.endswith("; copy it again")
        else:
            assert cut <= padded
            np.testing.assert_array_equal(result, BIG.T - 1024)
    assert capfd.readouterr() == ("", "")


def test_every_cut_through_the_first_bytes_is_an_error(tmp_path):
    path = series(tmp_path, names=["0", "1", "2"])[1]
    whole = path.read_bytes()
    for length in range(132, 480, 6):
        path.write_bytes(whole[:length])
        fails(f"{tmp_path}: 1 is cut short or damaged; copy it again", series_grid, tmp_path)


NATIVE = [syntax for syntax in PACKERS if not syntax.is_encapsulated]


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("length", [0, 2, 38])
def test_a_whole_file_with_too_few_voxels(tmp_path, syntax, length, capfd):
    """GDCM would fill them up with what lies in memory."""
    paths = series(tmp_path)
    one = pydicom.dcmread(paths[1])
    PACKERS[syntax](one, paths[1])
    one.PixelData = one.PixelData[:length]
    save(one, paths[1])
    message = f"{tmp_path}: 1.dcm holds {length} bytes of voxels, its header names 40; copy it ag"
    fails(message, read_series, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_more_bytes_than_voxels_do_not_matter(tmp_path):
    series(tmp_path, change={1: {"PixelData": STORED[1].tobytes() + b"more"}})
    np.testing.assert_array_equal(read_series(tmp_path)[1], HU)


def test_an_icon_is_not_taken_for_the_voxels(tmp_path):
    """Its voxels have the same tag."""
    icon = dataset(np.zeros((20, 20), np.int16))
    del icon.file_meta
    tags = {"IconImageSequence": [icon], "PixelData": STORED[1].tobytes()[:20]}
    series(tmp_path, change={1: tags})
    fails(f"{tmp_path}: 1.dcm holds 20 bytes of voxels, its header", read_series, tmp_path)


def test_voxels_that_look_like_a_tag(tmp_path):
    """Without value representations, four bytes and a length are all there is of it."""
    stored = STORED.copy()
    stored[1].flat[4:8] = (0x7FE0, 0x0010, 2, 0)
    repack(series(tmp_path, stored=stored), uid.ImplicitVRLittleEndian)
    np.testing.assert_array_equal(read_series(tmp_path)[1], stored.T - 1024.0)


def damaged(path, change):
    """The file with its packed voxels changed, and otherwise sound."""
    one = pydicom.dcmread(path)
    frame = next(generate_frames(one.PixelData, number_of_frames=1))
    one.PixelData = encapsulate([change(bytearray(frame))])
    one["PixelData"].is_undefined_length = True
    save(one, path)


@pytest.mark.parametrize(
    "syntax", [s for s in PACKERS if "JPEG" in s.name], ids=lambda s: s.keyword
)
@pytest.mark.parametrize("length", [2, 10, 100, 1000])
def test_packed_voxels_cut_short_in_a_whole_file(tmp_path, syntax, length, capfd):
    path = repack(series(tmp_path, stored=BIG), syntax)[1]
    damaged(path, lambda frame: bytes(frame[:length]))
    fails(f"{tmp_path}: 1.dcm is cut short or damaged; copy it again", read_series, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_damage_that_libjpeg_only_mutters_about(tmp_path, capfd):
    """It decodes something all the same."""

    def change(frame):
        frame[len(frame) // 2 : len(frame) // 2 + 2] = b"\xff\xd9"  # the picture ends early
        return bytes(frame)

    path = repack(series(tmp_path, stored=BIG), uid.JPEGLosslessSV1)[1]
    damaged(path, change)
    fails(f"{tmp_path}: 1.dcm is cut short or damaged; copy it again", read_series, tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "syntax", [uid.HTJ2KLossless, uid.MPEG2MPML, uid.UID("1.2.840.10008.1.2.4.95")]
)
def test_a_transfer_syntax_that_cannot_be_decoded(tmp_path, syntax, capfd):
    path = repack(series(tmp_path, stored=BIG), uid.JPEGLSLossless)[1]
    one = pydicom.dcmread(path)
    one.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, one, implicit_vr=False, little_endian=True)
    message = (
        f"{tmp_path}: 1.dcm is stored in transfer syntax {syntax}, which cannot be decoded; conv"
    )
    fails(message, read_series, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_header_that_promises_other_voxels_than_are_packed(tmp_path):
    path = repack(series(tmp_path, stored=BIG), uid.JPEGLosslessSV1)[1]
    one = pydicom.dcmread(path)
    one.Rows = 64
    save(one, path)
    fails(
        f"{tmp_path}: 1.dcm names 40 x 64 voxels and holds 40 x 32; export", read_series, tmp_path
    )


@pytest.mark.parametrize("content", [b"", b"not DICOM\n" * 50], ids=["empty", "text"])
def test_a_file_named_dicom_that_holds_none_may_be_a_lost_slice(tmp_path, content):
    series(tmp_path)
    (tmp_path / "3.dcm").write_bytes(content)
    message = (
        f"{tmp_path}: 3.dcm is named DICOM but holds none ({len(content)} bytes); copy it again"
    )
    fails(message, series_grid, tmp_path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = series(tmp_path)[1]

    def refuse(self, *mode):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return open(self, *mode)  # noqa: PTH123 (it is Path.open that is replaced)

    monkeypatch.setattr(type(path), "open", refuse)
    assert not is_dicom(path)
    message = f"{tmp_path}: 1.dcm cannot be read (Permission denied); make it readable or move"
    fails(message, series_grid, tmp_path)


@pytest.mark.parametrize("name", ["Schädel", "頭 1", "a'b;c"])
def test_any_name(tmp_path, name):
    series(tmp_path / name, names=["0", name, "2"])
    np.testing.assert_array_equal(read_series(tmp_path / name)[1], HU)


def test_a_name_that_is_no_text(tmp_path):
    """SimpleITK would end the process."""
    path = series(tmp_path)[1]
    try:
        path.rename(tmp_path / os.fsdecode(b"\xff.dcm"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    fails(f"{tmp_path}: '\\udcff.dcm' is a name that is no UTF-8; rename", series_grid, tmp_path)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGLSLossless])
def test_a_file_that_vanishes(tmp_path, monkeypatch, syntax):
    path = repack(series(tmp_path, stored=BIG), syntax)[1]
    read = sitk.ImageFileReader.SetOutputPixelType  # between the headers and the voxels

    def vanish(reader, kind):
        path.unlink(missing_ok=True)
        return read(reader, kind)

    monkeypatch.setattr(sitk.ImageFileReader, "SetOutputPixelType", vanish)
    fails(f"{tmp_path}: 1.dcm is gone; leave the folder alone", read_series, tmp_path)


def test_a_file_that_changes(tmp_path, monkeypatch):
    path = series(tmp_path)[1]
    read = sitk.ImageFileReader.SetOutputPixelType

    def change(reader, kind):
        if reader.GetFileName() == str(path):
            save(dataset(BIG[0]), path)
        return read(reader, kind)

    monkeypatch.setattr(sitk.ImageFileReader, "SetOutputPixelType", change)
    fails(f"{tmp_path}: 1.dcm is cut short or damaged; copy it", read_series, tmp_path)


# --- what is said

SPEAK = """
import os, sys
from pathlib import Path
from monai_attn.data.dicom import read_series
try:
    read_series(Path(sys.argv[1]))
except ValueError as error:
    sys.exit(str(error))
os.write(2, b"still heard")
"""


@pytest.mark.parametrize("damage", [True, False], ids=["damaged", "sound"])
def test_nothing_but_our_own_lines_reach_stderr(tmp_path, damage):
    path = repack(series(tmp_path, stored=BIG), uid.JPEG2000Lossless)[1]
    if damage:
        damaged(path, lambda frame: bytes(frame[:1000]))
    run = [sys.executable, "-c", SPEAK, str(tmp_path)]
    said = subprocess.run(run, capture_output=True, text=True, check=False, env=os.environ)
    line = f"{tmp_path}: 1.dcm is cut short or damaged; copy it again\n"
    assert (said.stdout, said.stderr) == ("", line if damage else "still heard")


def test_what_others_say_meanwhile_is_passed_on(tmp_path, monkeypatch, capfd):
    repack(series(tmp_path, stored=BIG), uid.JPEG2000Lossless)
    read = sitk.ImageFileReader.SetOutputPixelType

    def speak(reader, kind):
        os.write(2, b"a line of another thread\n")
        return read(reader, kind)

    monkeypatch.setattr(sitk.ImageFileReader, "SetOutputPixelType", speak)
    read_series(tmp_path)
    assert capfd.readouterr().err == "a line of another thread\n" * SLICES


@pytest.mark.parametrize("shown", [True, False])
def test_what_itk_shows_is_left_as_it_was(tmp_path, shown):
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    try:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
        series(tmp_path)
        read_series(tmp_path)
        assert sitk.ProcessObject.GetGlobalWarningDisplay() == shown
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)
