import gzip
import os
import pickle
import socket
from pathlib import Path

import pytest

from monai_attn.io.file_kind import opened, require_regular
from monai_attn.io.scan import read_volume
from scans import fails, save


def test_a_regular_file_is_read_and_unpacked_by_its_name(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"plain")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"packed"))
    (tmp_path / "link.nii").symlink_to(tmp_path / "a.nii")
    for name, content in (("a.nii", b"plain"), ("a.nii.gz", b"packed"), ("link.nii", b"plain")):
        with opened(tmp_path / name) as stream:
            assert stream.read() == content


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def make_loop(path):
    path.symlink_to(path.name)


# what is made, what is said of it
KINDS = {
    "folder": (
        lambda path: path.mkdir(),
        "is a folder, not a regular file; give the file of a scan",
    ),
    "pipe": (make_pipe, "is a pipe, not a regular file; give"),
    "socket": (make_socket, "is a socket, not a regular file; give"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a regular file; give"),
    "link in a loop": (make_loop, "is a link in a loop; give the file itself"),
    "broken link": (lambda path: path.symlink_to("gone"), "is a broken link; give the"),
    "nothing": (lambda path: None, "does not exist; check the path"),
    "empty file": (lambda path: path.touch(), "is empty; copy it again"),
}


@pytest.mark.parametrize(("make", "fault"), KINDS.values(), ids=KINDS.keys())
def test_what_is_no_regular_file_is_never_waited_for(tmp_path, monkeypatch, make, fault):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    path = tmp_path / "a.nii"
    make(path.relative_to(tmp_path))
    fails(f"{path}: {fault}", lambda: opened(path).__enter__())


PATHS = {
    "https://there/scan.nii.gz": "is a URL; download the file and give its path",
    "s3://bucket/scan.nii": "is a URL; download the file and give its path",
    "a\0.nii": "cannot be opened (embedded null byte); check the path",
    "a" * 300 + ".nii": "cannot be opened (File name too long)",
    "file_kind.py/a.nii": "does not exist",
}


@pytest.mark.parametrize(("path", "fault"), PATHS.items())
def test_paths_that_lead_nowhere(path, fault):
    fails(f": {fault}", require_regular, Path(path))


HTML = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n" * 20
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n"
CONTENTS = {
    "git-lfs pointer": (LFS, "a git-lfs pointer, not the scan; fetch it with git lfs pull"),
    "git-annex pointer": (b"/annex/objects/SHA256E-s1--0\n", "a git-annex pointer, not the scan"),
    "HTML": (HTML, "a web page, not a scan; download it again, signed in"),
    "XML error": (b'\n<?xml version="1.0"?><Error/>', "a web page, not a scan; download"),
    "pickle": (pickle.dumps({"a": 1}), "is not opened; export as NIfTI"),
    "ZIP": (b"PK\x03\x04" + bytes(400), "a ZIP archive; unpack it first"),
    "bzip2": (b"BZh91AY" + bytes(400), "compressed, but not with gzip; unpack it first"),
    "compressed twice": (gzip.compress(bytes(400)), "compressed twice; unpack it once"),
    "DICOM": (bytes(128) + b"DICM" + bytes(400), "a DICOM file; give the folder that holds"),
    "NRRD": (b"NRRD0004\n", "an NRRD file; rename it to .nrrd"),
    "MetaImage": (b"ObjectType = Image\n", "a MetaImage file; rename it to .mha"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(400), "an HDF5 file; convert it to NIfTI first"),
    "NumPy": (b"\x93NUMPY" + bytes(400), "a NumPy array, without a grid; convert"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(400), "a picture; give the scan itself"),
    "JPEG": (b"\xff\xd8\xff\xe0" + bytes(400), "a picture; give the scan itself"),
    "text": (b"not an image\n", "not a NIfTI file but a file of unknown kind; convert it"),
    "zeros": (bytes(1000), "not a NIfTI file but a file of unknown kind; convert it"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "inside gzip"])
@pytest.mark.parametrize(("content", "fault"), CONTENTS.values(), ids=CONTENTS.keys())
def test_what_is_no_nifti_is_told_by_its_content(tmp_path, content, fault, packed):
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    if content[:2] == b"\x1f\x8b" and not packed:
        fault = "compressed, but its name does not end in .gz; rename it"
    fails(f"{path}: ", read_volume, path)
    fails(fault, read_volume, path)


@pytest.mark.parametrize("name", ["git-lfs pointer", "HTML", "pickle", "ZIP", "bzip2", "DICOM"])
def test_what_is_no_gzip_is_told_by_its_content(tmp_path, name):
    content, fault = CONTENTS[name]
    (tmp_path / "a.nii.gz").write_bytes(content)
    fails(fault, read_volume, tmp_path / "a.nii.gz")


def test_a_name_and_its_content_must_agree(tmp_path):
    """Programs that go by the name fail on such a file, or worse."""
    plain = save(tmp_path / "a.nii").read_bytes()
    (tmp_path / "plain.nii.gz").write_bytes(plain)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(plain))
    fails(
        "plain.nii.gz: named .gz, but not compressed; copy", read_volume, tmp_path / "plain.nii.gz"
    )
    fails("packed.nii: compressed, but its name does", read_volume, tmp_path / "packed.nii")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may read all")
def test_a_file_one_may_not_read(tmp_path):
    path = save(tmp_path / "a.nii")
    path.chmod(0)
    fails(f"{path}: cannot be read to its end (", read_volume, path)
