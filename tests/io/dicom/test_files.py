import os
import shutil

import numpy as np
import pytest
from pydicom import uid

from dicoms import HU, STORED, UID, dataset, fails, lps, save, series
from monai_attn.io.dicom.files import holds_dicom, is_dicom, list_files
from monai_attn.io.scan import open_scan, read_grid, read_volume

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
    assert open_scan(tmp_path).files == tuple(paths)


def test_other_files_do_not_matter(tmp_path):
    paths = series(tmp_path)
    (tmp_path / "notes.txt").write_text("DICM")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    shutil.copy(paths[0], tmp_path / "._0.dcm")
    series(tmp_path / "deeper", lps(start=(0, 0, 500)))
    (tmp_path / "DICOMDIR").write_bytes(directory(tmp_path).read_bytes())
    (tmp_path / "dir.tmp").unlink()
    assert open_scan(tmp_path).files == tuple(paths)
    np.testing.assert_array_equal(read_volume(tmp_path).data, HU)


def directory(folder):
    tags = {"SOPClassUID": uid.MediaStorageDirectoryStorage, "PixelData": None, "Modality": None}
    return save(dataset(STORED[0], **tags), folder / "dir.tmp")


def test_series_are_chosen_by_their_uid(tmp_path):
    first = series(tmp_path)
    second = series(tmp_path, names=["x", "y", "z"], SeriesInstanceUID="1.2.9", stored=STORED + 1)
    assert open_scan(tmp_path, series=UID).files == tuple(first)
    assert open_scan(tmp_path, series="1.2.9").files == tuple(second)
    np.testing.assert_array_equal(read_volume(tmp_path, series="1.2.9").data, HU + 1)
    message = (
        f"{tmp_path}: 2 CT series, {UID} (3 slices), 1.2.9 (3 slices). Choose one with series=UID."
    )
    for call in (read_grid, read_volume):
        fails(message, call, tmp_path)
    message = f"{tmp_path}: no CT series 1.2 in this folder; choose one of {UID} (3 slices), 1.2.9 (3 slices)"
    fails(message, read_grid, tmp_path, series="1.2")


# --- what is refused


def test_folders_without_a_ct(tmp_path):
    fails(f"{tmp_path}/x: not a folder; give the folder that holds", list_files, tmp_path / "x")
    fails(f"{tmp_path}: no DICOM files in this folder; give the folder", read_grid, tmp_path)
    directory(tmp_path).rename(tmp_path / "DICOMDIR")
    fails(f"{tmp_path}: only a DICOMDIR in this folder; give", read_grid, tmp_path)
    for k, name in enumerate(("another modality", "RTSTRUCT")):
        save(dataset(STORED[0], **OTHERS[name]), tmp_path / str(k))
    fails(f"{tmp_path}: no CT slices in this folder, only MR, RTSTRUCT; ", read_grid, tmp_path)


def test_a_folder_of_dose_reports_holds_no_slices(tmp_path):
    save(dataset(STORED[0], **OTHERS["a dose report as a picture"]), tmp_path / "0")
    fails("no CT slices in this folder, only CT pictures; give a folder", read_grid, tmp_path)


def test_a_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    assert not holds_dicom(tmp_path)
    fails(f"{tmp_path}: cannot be read (Permission denied); make", read_grid, tmp_path)


def test_a_modality_that_is_no_code_is_not_shown(tmp_path):
    series(tmp_path, Modality="DOE JANE")
    fails("only unknown; give a folder", read_grid, tmp_path)


def test_every_cut_through_the_first_bytes_is_an_error(tmp_path):
    path = series(tmp_path, names=["0", "1", "2"])[1]
    whole = path.read_bytes()
    for length in range(132, 480, 6):
        path.write_bytes(whole[:length])
        fails(f"{tmp_path}: 1 is cut short or damaged; copy it again", read_grid, tmp_path)


def test_meta_information_that_pydicom_cannot_parse(tmp_path):
    """A value without an end raises an OSError in pydicom, as a broken disk does."""
    path = series(tmp_path)[1]
    raw = path.read_bytes()
    path.write_bytes(raw[:132] + b"\x02\x00\x10\x00UN\0\0\xff\xff\xff\xff" + b"\0")
    fails(f"{tmp_path}: 1.dcm is cut short or damaged; copy it again", read_grid, tmp_path)


@pytest.mark.parametrize("content", [b"", b"not DICOM\n" * 50], ids=["empty", "text"])
def test_a_file_named_dicom_that_holds_none_may_be_a_lost_slice(tmp_path, content):
    series(tmp_path)
    (tmp_path / "3.dcm").write_bytes(content)
    message = f"{tmp_path}: 3.dcm has the name of a DICOM file but is not one ({len(content)} bytes); copy"
    fails(message, read_grid, tmp_path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = series(tmp_path)[1]

    def refuse(self, *mode):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return open(self, *mode)  # noqa: PTH123 (it is Path.open that is replaced)

    monkeypatch.setattr(type(path), "open", refuse)
    assert not is_dicom(path)
    message = f"{tmp_path}: 1.dcm cannot be read (Permission denied); make it readable or move"
    fails(message, read_grid, tmp_path)


@pytest.mark.parametrize("name", ["Schädel", "頭 1", "a'b;c"])
def test_any_name(tmp_path, name):
    series(tmp_path / name, names=["0", name, "2"])
    np.testing.assert_array_equal(read_volume(tmp_path / name).data, HU)


def test_a_name_that_is_no_text(tmp_path):
    """SimpleITK would end the process."""
    path = series(tmp_path)[1]
    try:
        path.rename(tmp_path / os.fsdecode(b"\xff.dcm"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    fails(
        f"{tmp_path}: the file name '\\udcff.dcm' is not valid UTF-8; rename", read_grid, tmp_path
    )
