"""The file of probabilities is treated like the other maps of a case."""

import json

import nibabel as nib
import numpy as np
import pytest

import monai_attn
from command_line import names_in, run
from monai_attn.datasets.cases import find_images
from monai_attn.io.names import probabilities_path


@pytest.fixture
def scan(phantoms):
    return sorted((phantoms / "imagesTr").iterdir())[1]


def test_the_file_comes_and_goes_with_the_option(tiny_bundle, scan, tmp_path, monkeypatch):
    out = tmp_path / "out"
    words = ("segment", scan, "-o", out, "--bundle", tiny_bundle, "--device", "cpu")
    words = (*words, "--backend", "eager")
    assert run(monkeypatch, *words, "--probabilities") == 0
    path = probabilities_path(out / f"{scan.name.removesuffix('.nii.gz')}_seg.nii.gz")
    assert path.name in names_in(out)
    first = path.stat().st_mtime_ns
    manifest = json.loads(next(out.glob("*.manifest.json")).read_text())
    assert path.name in manifest["files_sha256"]
    assert manifest["settings"]["probabilities"] is True
    assert manifest["confidence"] == {"temperature": 1.0}
    other = out / "other.nii.gz"
    other.write_bytes(scan.read_bytes())
    assert [*map(str, find_images(out))] == [str(other)], "a map is no scan"
    other.unlink()

    model = monai_attn.load(tiny_bundle, "cpu", backend="eager")
    result = model.segment(scan, probabilities=True)
    np.testing.assert_allclose(nib.load(path).get_fdata(), result.probabilities, atol=1e-7)
    result.save(tmp_path / "python")
    assert (tmp_path / "python" / path.name).read_bytes() == path.read_bytes()

    assert run(monkeypatch, *words, "--probabilities", "--resume") == 0
    assert path.stat().st_mtime_ns == first, "kept"
    path.write_bytes(b"")
    assert run(monkeypatch, *words, "--probabilities", "--resume") == 0
    assert path.stat().st_size > 1000, "made again"
    assert run(monkeypatch, *words) == 0
    assert not path.exists(), "not of these labels"
    assert model.segment(scan).probabilities is None


def test_a_scan_of_its_name_is_not_replaced(tiny_bundle, scan, tmp_path, monkeypatch, capsys):
    other = tmp_path / "a_probabilities.nii.gz"
    plain = tmp_path / "a.nii.gz"
    for path in (other, plain):
        path.write_bytes(scan.read_bytes())
    words = ("--bundle", tiny_bundle, "--device", "cpu", "--probabilities")
    assert run(monkeypatch, "segment", plain, other, "-o", tmp_path, *words) == 2
    assert "a_probabilities.nii.gz: is a scan, and a map of" in " ".join(
        capsys.readouterr().err.split()
    )
