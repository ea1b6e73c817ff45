"""Scans for the tests of runs."""

import shutil

import pytest

BROKEN = {
    "cut.nii.gz": lambda raw: raw[: len(raw) // 2],
    "empty.nii.gz": lambda raw: b"",
    "page.nii.gz": lambda raw: b"<html>",
    "rotten.nii.gz": lambda raw: raw[:5000] + bytes([raw[5000] ^ 8]) + raw[5001:],
}


@pytest.fixture
def mixed_scans(phantoms, tmp_path):
    """Four sound scans, and some that are broken, among them ones that would not be read to their end."""
    scans = tmp_path / "scans"
    scans.mkdir()
    for scan in sorted((phantoms / "imagesTr").iterdir()):
        shutil.copy(scan, scans)
    raw = scan.read_bytes()
    for name, spoil in BROKEN.items():
        (scans / name).write_bytes(spoil(raw))
    (scans / "gone.nii.gz").symlink_to("nowhere")
    (scans / f"{'long' * 60}.nii.gz").write_bytes(raw)
    return scans
