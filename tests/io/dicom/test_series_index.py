"""The series in a folder, as their headers describe them."""

from dataclasses import replace

import pytest

from dicoms import STORED, TILTED, lps, series
from monai_attn.io.dicom.series_index import index_series
from monai_attn.io.dicom.series_path import folder_of, scan_exists
from monai_attn.io.scan import open_scan
from scans import fails

AXIAL = {"SeriesInstanceUID": "1.2.10", "SeriesNumber": 4, "SeriesDescription": "portal DOE"}


def test_a_folder_with_one_series_stands_for_it(tmp_path):
    paths = series(
        tmp_path / "a",
        **AXIAL,
        ContrastBolusAgent="Iodine",
        AcquisitionDate="20260102",
        AcquisitionTime="101112.123",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
    )
    (tmp_path / "a" / "notes.txt").touch()
    [found] = index_series(tmp_path / "a")
    assert (found.path, found.uid, found.modality) == (tmp_path / "a", "1.2.10", "CT")
    assert (found.patient, found.study) == ("SECRET", "1.2.3")
    assert (found.description, found.number, found.slices) == ("portal DOE", 4, len(paths))
    assert (found.plane, found.spacing, found.acquired) == ("axial", 2.5, "20260102101112")
    assert (found.localizer, found.derived, found.contrast, found.fault) == (False, False, True, "")
    assert "SECRET" not in repr(found)
    assert "DOE" not in repr(found)


# tags, what is known of the series
SIGNS = {
    "localizer": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {"localizer": True}),
    "computed": ({"ImageType": ["DERIVED", "SECONDARY"]}, {"derived": True}),
    "coronal": ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, {"plane": "coronal"}),
    "sagittal": ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, {"plane": "sagittal"}),
    "tilted gantry": ({"ImageOrientationPatient": list(TILTED)}, {"plane": "axial"}),
    "MR": ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, {"modality": "MR"}),
    "no whole number": ({"SeriesNumber": ""}, {"number": None}),
}


@pytest.mark.parametrize(("tags", "known"), SIGNS.values(), ids=SIGNS.keys())
def test_signs_in_the_headers(tmp_path, tags, known):
    series(tmp_path / "a", **AXIAL | tags)
    [found] = index_series(tmp_path / "a")
    assert replace(found, **known) == found


def test_a_series_without_even_slices_is_faulty(tmp_path):
    series(tmp_path / "a", [(0, 0, z) for z in (0, 1, 2, 5)], **AXIAL)
    assert "2 slices missing" in index_series(tmp_path / "a")[0].fault


def test_a_slice_that_is_cut_short_is_faulty(tmp_path):
    series(tmp_path / "a", change={1: {"PixelData": b"\0\0"}}, **AXIAL)
    assert "too few voxels" in index_series(tmp_path / "a")[0].fault


def test_each_of_several_series_in_a_folder_is_opened_by_its_uid(tmp_path):
    folder = tmp_path / "a"
    series(folder, names=["0", "1", "2"], **AXIAL)
    higher = lps(start=(-100, -120, 900), count=2)
    series(folder, higher, STORED[:2], ["3", "4"], SeriesInstanceUID="1.2.11")
    series(folder, names=["5", "6", "7"], SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22")
    first, second = index_series(folder)
    assert [one.path for one in (first, second)] == [folder / "1.2.10", folder / "1.2.11"]
    assert [one.slices for one in (first, second)] == [3, 2]
    scan = open_scan(second.path)
    assert scan.grid.shape[2] == 2
    assert scan.grid.affine[2, 3] == 900
    assert [file.name for file in scan.files] == ["3", "4"]
    assert scan.read().data.shape == (5, 4, 2)
    fails("no CT series 1.2.12", lambda: open_scan(folder / "1.2.12").grid)
    fails("not series 1.2.10", open_scan, second.path, series="1.2.10")


def test_the_path_of_a_series(tmp_path):
    series(tmp_path / "1.2.3")
    assert folder_of(tmp_path / "1.2.3") == (tmp_path / "1.2.3", None)  # an ordinary folder
    assert folder_of(tmp_path / "1.2.4") == (tmp_path, "1.2.4")
    assert folder_of(tmp_path / "a.nii") == (tmp_path / "a.nii", None)
    assert folder_of(tmp_path / "no" / "1.2") == (tmp_path / "no" / "1.2", None)
    assert [scan_exists(tmp_path / name) for name in ("1.2.3", "1.2.4", "a.nii")] == [
        True,
        True,
        False,
    ]
