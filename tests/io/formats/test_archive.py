"""Scans in a ZIP archive, which is unpacked safely and removed afterwards."""

import stat
import tempfile
import zipfile

import numpy as np
import pytest

from dicoms import HU, UID, series
from monai_attn.io.formats import archive
from monai_attn.io.scan import open_scan, read_grid, read_volume
from scans import AFFINE, VALUES, fails, save


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder in which archives are unpacked, of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def packed(folder, path, **more):
    """Pack the files below a folder, and further ones by name and content."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for file in sorted(folder.rglob("*.*")):
            made.write(file, file.relative_to(folder))
        for name, content in more.items():
            made.writestr(name, content)
    return path


def test_a_dicom_folder_is_read_and_removed(tmp_path, temporary):
    series(tmp_path / "export")
    path = packed(tmp_path, tmp_path / "a.zip", **{"DICOMDIR": "", "export/notes.txt": "x"})
    scan = open_scan(path)
    volume = scan.read()
    np.testing.assert_array_equal(volume.data, HU)
    assert scan.grid.path == volume.path == path
    assert scan.files == (path,)
    assert len(list(temporary.iterdir())) == 1
    del scan
    assert not list(temporary.iterdir())


def test_a_file_is_read(tmp_path, temporary):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.nii.gz", VALUES.astype(np.int16))
    path = packed(tmp_path / "in", tmp_path / "a.zip", **{"__MACOSX/._a.nii.gz": "x"})
    np.testing.assert_array_equal(read_volume(path).data, VALUES)
    np.testing.assert_allclose(read_grid(path).affine, AFFINE)
    assert not list(temporary.iterdir())


def test_an_error_names_the_archive_and_not_the_temporary_folder(tmp_path, temporary):
    (tmp_path / "in").mkdir()
    series(tmp_path / "in" / "a")
    series(tmp_path / "in" / "a", names=[f"b{n}.dcm" for n in range(3)], SeriesInstanceUID="1.2.9")
    path = packed(tmp_path / "in", tmp_path / "a.zip")
    fails(f"{path}: 2 CT series", read_grid, path)
    np.testing.assert_array_equal(read_volume(path, series=UID).data, HU)
    assert not list(temporary.iterdir())


# files of the archive, what is said of it
REFUSED = {
    "a way out": ({"../a.nii": "x"}, "holds the path '../a.nii', which leads out of it; "),
    "a way out in the middle": ({"b/../../a.nii": "x"}, "which leads out of it; "),
    "a way out of Windows": ({"b\\..\\..\\a.nii": "x"}, "which leads out of it; "),
    "from the root": ({"/etc/a.nii": "x"}, "holds the path '/etc/a.nii', which leads out of it"),
    "a drive": ({"C:\\a.nii": "x"}, "which leads out of it; "),
    "nothing": ({}, "holds 0 DICOM series and 0 other scans (expected one scan); "),
    "two scans": ({"a.nii": "x", "b/b.nii": "x"}, "holds 0 DICOM series and 2 other scans"),
    "an empty scan": ({"a.nii": ""}, "is empty; copy it again"),
}


@pytest.mark.parametrize(("files", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(tmp_path, temporary, files, message):
    path = packed(temporary, tmp_path / "a.zip", **files)
    fails(message, read_grid, path)
    fails(f"{path}: ", read_grid, path)
    assert not list(temporary.iterdir())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.zip", "temporary"]


def test_limits_of_size_and_number(tmp_path, temporary, monkeypatch):
    path = packed(temporary, tmp_path / "a.zip", **{"a.nii": bytes(1000), "b.txt": "x"})
    monkeypatch.setattr(archive, "MOST_BYTES", 1000)
    fails("2 files of 1001 bytes (limits 100000 and 1000); unpack it", read_grid, path)
    monkeypatch.setattr(archive, "MOST_BYTES", 2000)
    monkeypatch.setattr(archive, "SPARE", 2**60)
    fails(f"{path}: needs 1001 bytes in {temporary} (free: 0)", read_grid, path)


def test_an_archive_that_is_damaged_or_lies_about_a_size(tmp_path):
    path = packed(tmp_path / "none", tmp_path / "a.zip", **{"a.nii": bytes(9999)})
    content = path.read_bytes()
    path.write_bytes(content.replace((9999).to_bytes(4, "little"), (99).to_bytes(4, "little")))
    fails("cannot be unpacked", read_grid, path)
    path.write_bytes(content[:-30])
    fails(f"{path}: cannot be unpacked (File is not a zip file); pack it again", read_grid, path)


def test_a_link_in_an_archive_leads_nowhere(tmp_path):
    link = zipfile.ZipInfo("a.nii")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr(link, "/etc/passwd")
    fails("not a NIfTI file but", read_grid, tmp_path / "a.zip")
