import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from nibabel.affines import apply_affine
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicoms import (
    COLUMNS,
    GEOMETRIES,
    OBLIQUE,
    ROWS,
    SLICES,
    STORED,
    TILTED,
    fails,
    geometries,
    lps,
    save,
    series,
)
from monai_attn.io.affine import shear_warning
from monai_attn.io.scan import open_scan, read_grid, read_volume

# --- where it lies


def by_the_standard(position, orientation, column, row):
    """Where a pixel lies in LPS+ mm: PS3.3 equation C.7.6.2.1-1; spacing is between rows first."""
    return (
        np.asarray(position)
        + 0.8 * column * np.asarray(orientation[:3])
        + 0.7 * row * np.asarray(orientation[3:])
    )


@geometries
@pytest.mark.parametrize("names", [["0", "1", "2"], ["b", "c", "a"]], ids=["sorted", "shuffled"])
def test_each_voxel_lies_where_the_standard_puts_it(tmp_path, orientation, step, names):
    positions = lps(orientation, step)
    series(tmp_path, positions, ImageOrientationPatient=list(orientation), names=names)
    grid = read_volume(tmp_path)
    data = grid.data
    assert grid.shape == data.shape == (COLUMNS, ROWS, SLICES)
    for (k, row, column), value in np.ndenumerate(STORED):
        (place,) = np.argwhere(data == value - 1024)
        x, y, z = by_the_standard(positions[k], orientation, column, row)
        np.testing.assert_allclose(apply_affine(grid.affine, place), (-x, -y, z), atol=1e-5)


@geometries
def test_slices_go_up_along_their_normal(tmp_path, orientation, step):
    positions = lps(orientation, step)
    paths = series(tmp_path, positions[::-1], ImageOrientationPatient=list(orientation))
    assert open_scan(tmp_path).files == tuple(paths[::-1])


@pytest.mark.parametrize("orientation", [GEOMETRIES[k][0] for k in ("axial", "coronal", "oblique")])
def test_straight_series_lie_where_simpleitk_puts_them(tmp_path, orientation):
    series(tmp_path, lps(orientation), ImageOrientationPatient=list(orientation))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    grid = read_volume(tmp_path)
    data = grid.data
    np.testing.assert_array_equal(data, sitk.GetArrayFromImage(image).T)
    for place in [(0, 0, 0), (4, 3, 2)]:
        x, y, z = image.TransformIndexToPhysicalPoint(place)
        np.testing.assert_allclose(apply_affine(grid.affine, place), (-x, -y, z), atol=1e-4)


def test_the_grid_of_the_headers_is_that_of_the_voxels(tmp_path):
    series(tmp_path, lps(OBLIQUE), ImageOrientationPatient=list(OBLIQUE))
    grid, read = read_grid(tmp_path), read_volume(tmp_path)
    assert (grid.shape, grid.form_code, grid.path) == ((5, 4, 3), 1, tmp_path)
    assert (read.shape, read.form_code, read.path) == ((5, 4, 3), 1, tmp_path)
    np.testing.assert_array_equal(grid.affine, read.affine)


def test_the_headers_spacing_between_slices_does_not_count(tmp_path):
    series(tmp_path, SliceThickness=7, SpacingBetweenSlices=-9)
    np.testing.assert_allclose(read_grid(tmp_path).affine[:3, 2], (0, 0, 2.5))


def test_rounded_directions_are_put_at_right_angles(tmp_path):
    rounded = [0.801, 0.6, 0, -0.6 * 0.96, 0.8 * 0.96, 0.28]
    series(tmp_path, lps(OBLIQUE), ImageOrientationPatient=rounded)
    axes = read_grid(tmp_path).affine[:3, :3]
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
    grid = read_grid(tmp_path)
    assert grid.shape == (5, 4, 1)
    np.testing.assert_allclose(grid.affine[:3, 2], (0, 0, thickness))


def test_slices_too_far_apart_are_no_scan(tmp_path):
    series(tmp_path, lps(step=(0, 0, 30)), SliceThickness=5)
    fails("spacing 0.8 x 0.7 x 30 mm (expected 0.05 to 20)", read_grid, tmp_path)


@pytest.mark.parametrize("thickness", [None, 0, ""])
def test_one_slice_without_a_thickness_is_no_scan(tmp_path, thickness):
    series(tmp_path, lps(count=1), SliceThickness=thickness)
    fails(f"{tmp_path}: only one slice, 0.dcm, and no thickness in it; give", read_grid, tmp_path)


def test_a_tilted_gantry_is_kept_in_the_grid(tmp_path):
    """Who resamples warns of it."""
    series(tmp_path, lps(TILTED, (0, 0, 2.5)), ImageOrientationPatient=list(TILTED))
    grid = read_volume(tmp_path)
    np.testing.assert_allclose(grid.affine[:3, 2], (0, 0, 2.5))
    assert "sheared by 15 degrees (gantry tilt?)" in shear_warning(grid.affine)


# --- what is refused


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
    "uneven": ([30, 32.5, 36, 38.5], "slices are 2.50 to 3.50 mm apart (expected even spacing)"),
    "wider and wider": (
        [30 + 2 * k + 0.02 * k**2 for k in range(10)],
        "slices are 2.02 to 2.34 mm apart",
    ),
    "doubled": (
        [30, 32.5, 32.5, 35],
        "1.dcm and 2.dcm are at the same position (32.50 mm, one of 1 such",
    ),
    "two scans": (
        [30, 30, 32, 32, 34, 34],
        "0.dcm and 1.dcm are at the same position (30.00 mm, one of 3",
    ),
}


@pytest.mark.parametrize(("heights", "fault"), STACKS.values(), ids=STACKS.keys())
def test_stacks_that_are_no_volume(tmp_path, heights, fault):
    series(tmp_path, [(-100, -120, z) for z in heights])
    for call in (read_grid, read_volume):
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
    assert read_grid(tmp_path).affine[2, 2] == pytest.approx(spacing, rel=2e-3)


# how the slices stray along x, their distance
STRAY = {
    "positions in tenths": ([0, 0.1, 0, 0.1], 1),
    "directions in three decimals": ([0.0005 * 20 * k for k in range(20)], 20),
}


@pytest.mark.parametrize(("stray", "gap"), STRAY.values(), ids=STRAY.keys())
def test_what_rounding_makes_of_a_straight_stack_is_no_tilt(tmp_path, stray, gap):
    series(tmp_path, [(-100 + x, -120, 30 + gap * k) for k, x in enumerate(stray)])
    np.testing.assert_allclose(read_grid(tmp_path).affine[:3, 2], (0, 0, gap), atol=1e-9)


def test_a_slice_beside_the_others(tmp_path):
    positions = lps(count=5)
    positions[2][0] += 3
    series(tmp_path, positions)
    fails(f"{tmp_path}: 2.dcm is 3.00 mm off the line of", read_grid, tmp_path)


def test_one_image_twice(tmp_path):
    series(tmp_path, change={0: {"SOPInstanceUID": "1.7"}, 2: {"SOPInstanceUID": "1.7"}})
    message = (
        f"{tmp_path}: 0.dcm and 2.dcm are the same image (same SOPInstanceUID); delete one of them"
    )
    fails(message, read_grid, tmp_path)


def test_one_file_twice(tmp_path):
    shutil.copy(series(tmp_path)[1], tmp_path / "copy.dcm")
    fails("1.dcm and copy.dcm are the same image (same SOPInstanceUID)", read_grid, tmp_path)


# tags of slice 1, the fault
ODD = {
    "another size": (
        {"Rows": 2, "Columns": 10},
        "(10, 2) columns and rows, most slices have (5, 4); remove",
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
    "spacing of 0": ({"PixelSpacing": [0, 0.7]}, "a PixelSpacing of 0 x 0.7 mm (expected above 0)"),
    "negative spacing": (
        {"PixelSpacing": [0.7, -0.7]},
        "a PixelSpacing of 0.7 x -0.7 mm (expected above 0)",
    ),
    "directions too long": (
        {"ImageOrientationPatient": [1.01, 0, 0, 0, 1, 0]},
        "an ImageOrientationPatient of lengths 1.01 and 1 with a product of 0 (expected 1, 1 and 0)",
    ),
    "no right angle": (
        {"ImageOrientationPatient": [1, 0, 0, 0.6, 0.8, 0]},
        "an ImageOrientationPatient of lengths 1 and 1 with a product of 0.6 (expected 1, 1",
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
    for call in (read_grid, read_volume):
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
    fails(f"{tmp_path}: 1.dcm has {fault}", read_grid, tmp_path)


# tags of slice 1, the fault
NO_SLICE = {
    "multi-frame": (
        {"NumberOfFrames": 2, "PixelData": STORED[:2].tobytes()},
        "multi-frame (expected one slice per file); convert to NIfTI first (dcm2niix)",
    ),
    "enhanced": (
        {"SOPClassUID": uid.EnhancedCTImageStorage},
        "multi-frame (expected one slice per file); convert",
    ),
    "RGB": (
        {
            "SamplesPerPixel": 3,
            "PhotometricInterpretation": "RGB",
            "PlanarConfiguration": 0,
            "PixelData": bytes(3 * 2 * ROWS * COLUMNS),
        },
        "RGB with 3 values per voxel (expected MONOCHROME2 with 1); convert",
    ),
    "turned to its negative": (
        {"PhotometricInterpretation": "MONOCHROME1"},
        "MONOCHROME1 with 1 values per voxel (expected MONOCHROME2 with 1); convert",
    ),
}


@pytest.mark.parametrize(("tags", "fault"), NO_SLICE.values(), ids=NO_SLICE.keys())
def test_what_is_no_slice_of_one_value_for_each_voxel(tmp_path, tags, fault):
    series(tmp_path, change={1: tags})
    fails(f"{tmp_path}: 1.dcm is {fault}", read_grid, tmp_path)
