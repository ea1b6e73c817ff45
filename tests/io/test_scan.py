import gc
import re
import subprocess
import sys
import weakref

import numpy as np
import pytest

import dicoms
from dicoms import HU, SLICES
from monai_attn.io.dicom import headers
from monai_attn.io.errors import ScanWarning
from monai_attn.io.nifti import header as nifti
from monai_attn.io.scan import open_scan
from scans import VALUES, fails, save


def nifti_scan(folder):
    return save(folder / "a.nii.gz", VALUES.astype(np.int16))


def dicom_scan(folder):
    dicoms.series(folder / "a")
    return folder / "a"


# the scan, its voxels, the number of its files
KINDS = {"NIfTI": (nifti_scan, VALUES, 1), "DICOM": (dicom_scan, HU, SLICES)}
kinds = pytest.mark.parametrize(("make", "values", "count"), KINDS.values(), ids=KINDS.keys())


@kinds
def test_grid_files_checksum_and_voxels(tmp_path, make, values, count):
    scan = open_scan(str(make(tmp_path)))
    volume = scan.read()
    assert scan.grid.shape == volume.shape == values.shape
    np.testing.assert_array_equal(volume.affine, scan.grid.affine)
    np.testing.assert_array_equal(volume.data, values)
    assert len(scan.files) == count
    assert scan.sha256 == open_scan(scan.path).sha256


@kinds
def test_all_that_is_asked_of_a_scan_takes_one_reading_of_its_headers(
    tmp_path, monkeypatch, make, values, count
):
    read = []

    def counted(module, name):
        whole = getattr(module, name)

        def call(*arguments):
            read.append(name)
            return whole(*arguments)

        monkeypatch.setattr(module, name, call)

    counted(headers, "_read_header")  # once for each file
    counted(nifti, "_parse")
    scan = open_scan(make(tmp_path))
    assert read == []
    for _ in range(2):
        _ = scan.grid, scan.files, scan.sha256, scan.read()
    assert len(read) == count


def test_a_nifti_scan_does_not_load_simpleitk(tmp_path):
    """It takes a quarter of a second; pydicom is loaded by nibabel in any case."""
    script = (
        "import sys, monai_attn.io as io; io.open_scan(sys.argv[1]).read();"
        "print({'SimpleITK', 'torch'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", script, str(nifti_scan(tmp_path))]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "set()\n"


def test_a_file_is_hashed_once(tmp_path):
    scan = open_scan(save(tmp_path / "a.nii"))
    before = scan.sha256
    save(scan.path, VALUES + 1)
    assert scan.sha256 == before != open_scan(scan.path).sha256


def test_voxels_are_not_kept(tmp_path):
    scan = open_scan(dicom_scan(tmp_path))
    data = weakref.ref(scan.read().data)
    gc.collect()
    assert data() is None


@pytest.mark.parametrize("kind", ["NIfTI", "DICOM"])
def test_a_doubt_is_told_once(tmp_path, kind):
    if kind == "DICOM":
        path = tmp_path
        dicoms.series(path, RescaleSlope=None)
    else:
        values = VALUES.astype(np.float32)
        values[0, 0, 0] = np.nan
        path = save(tmp_path / "a.nii", values)
    scan = open_scan(path)
    with pytest.warns(ScanWarning, match=re.escape(f"{path}: ")) as caught:
        scan.read()
    scan.read()  # a warning would be an error here
    (warning,) = caught
    assert warning.filename == __file__


def test_a_doubt_that_is_an_error_is_one_each_time(tmp_path):
    dicoms.series(tmp_path, RescaleSlope=None)
    scan = open_scan(tmp_path)
    for _ in range(2):
        with pytest.raises(ScanWarning, match="rescale slope"):
            scan.read()


def test_what_is_no_scan_is_refused_before_it_is_read(tmp_path):
    fails("does not exist", open_scan, tmp_path / "a.nii")
    fails("a scan in NIfTI", open_scan, tmp_path / "a.txt")
    fails("which has no volume", open_scan, tmp_path, volume=1)
    fails("which has no series", open_scan, save(tmp_path / "b.nii"), series="1.2")
