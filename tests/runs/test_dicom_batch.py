"""Batches of DICOM series."""

import json
import sys
import warnings

import nibabel as nib
import numpy as np
import pydicom
import pytest

from command_line import names_in, run
from dicoms import series
from monai_attn.io.dicom import headers
from monai_attn.io.dicom.headers import read_headers
from monai_attn.io.scan import read_volume
from monai_attn.phantom import abdominal_phantom
from monai_attn.runs.summary import JSON
from tests.runs.summaries import statuses


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """A folder of two DICOM series, and the first as NIfTI."""
    folder = tmp_path_factory.mktemp("patients")
    phantom = abdominal_phantom(3, shape=(56, 48, 28), spacing=(7, 7, 7))
    stored = np.rint(phantom.image[::-1, ::-1].T).astype(np.int16) + 1024  # rows grow to the back
    for name in ("one", "two"):
        positions = [(-190, -160, 7 * k) for k in range(28)]
        series(folder / name, positions, stored, PixelSpacing=[7, 7])
    scan = read_volume(folder / "one")
    nib.save(nib.Nifti1Image(scan.data, scan.affine), folder.parent / "one.nii.gz")
    return folder


def test_a_dicom_series_is_segmented_as_its_nifti(patients, tiny_bundle, tmp_path, monkeypatch):
    arguments = ("-o", tmp_path, "--bundle", tiny_bundle)
    scan = patients.parent / "one.nii.gz"
    assert run(monkeypatch, "segment", patients / "one", *arguments, "--dicom-seg") == 0
    labels = nib.load(tmp_path / "one_seg.nii.gz")
    assert run(monkeypatch, "segment", scan, "-o", tmp_path / "nifti", *arguments[2:]) == 0
    same = nib.load(tmp_path / "nifti" / "one_seg.nii.gz")
    np.testing.assert_array_equal(labels.get_fdata(), same.get_fdata())
    np.testing.assert_allclose(labels.affine, same.affine)
    seg = pydicom.dcmread(tmp_path / "one_seg.dcm")
    assert seg.Modality == "SEG"
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["pancreas"]
    assert seg.pixel_array.sum() == labels.get_fdata().sum() > 0


def test_the_headers_of_a_series_are_read_once(patients, tiny_bundle, tmp_path, monkeypatch):
    """For the list of scans, the memory check, the checksum, the voxels and the DICOM SEG."""
    headers._headers_of.cache_clear()  # of other tests
    read = []

    def counted(folder, files):
        read.extend(files)
        return read_headers(folder, files)

    monkeypatch.setattr(headers, "read_headers", counted)
    arguments = ("-o", tmp_path, "--bundle", tiny_bundle, "--dicom-seg", "--resume")
    assert run(monkeypatch, "segment", patients / "one", *arguments) == 0
    assert len(read) == 28


def test_without_highdicom_nothing_is_begun(patients, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    arguments = ("segment", patients / "one", "-o", tmp_path / "out", "--dicom-seg")
    assert run(monkeypatch, *arguments) == 2
    assert 'pip install "monai-attn[dicom]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_labels_are_kept_if_there_can_be_no_dicom_seg(tiny_bundle, tmp_path, monkeypatch, capsys):
    series(tmp_path / "ct", change={2: {"StudyInstanceUID": None}})
    out = tmp_path / "out"
    arguments = ("segment", tmp_path / "ct", "-o", out, "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments, "--dicom-seg", "--report") == 1
    why = f"{tmp_path}/ct/2.dcm: StudyInstanceUID is missing. Export the series again, or anonymise it"
    (error,) = [w for w in capsys.readouterr().err.splitlines() if w.startswith("error: ")]
    assert error.startswith(f"error: {tmp_path}/ct: no DICOM SEG was written ({why}")
    files = ["ct_seg.manifest.json", "ct_seg.nii.gz", "report.html", "summary.csv", "summary.json"]
    assert names_in(out) == files
    (row,) = json.loads((out / JSON).read_text())["cases"]
    assert row["status"] == "incomplete"
    for text in (row["reason"], *((out / name).read_text() for name in files[2:])):
        assert why in text
    assert run(monkeypatch, *arguments, "--resume") == 0, "without the file that is missing"
    assert statuses(out) == {"ct": "kept"}


def test_a_name_of_a_patient_is_nowhere(tiny_bundle, tmp_path, monkeypatch, capfd):
    """Not in the words of a library either: highdicom doubts names without a caret, and shows them."""
    name = "Quagmire Zacharias"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of the malformed values that are written here
        tags = dict.fromkeys(("PatientName", "PatientBirthDate", "PatientSex", "StudyDate"), name)
        series(tmp_path / "ct", **tags)
        series(tmp_path / "gap", **tags, change={1: {"FrameOfReferenceUID": None}})
    capfd.readouterr()
    log, out = tmp_path / "log", tmp_path / "out"
    scans = (tmp_path / "ct", tmp_path / "gap")
    arguments = ("segment", *scans, "-o", out, "--bundle", tiny_bundle, "--dicom-seg", "--report")
    assert run(monkeypatch, "--verbose", "--log-file", log, *arguments) == 1
    assert statuses(out) == {"ct": "segmented", "gap": "incomplete"}
    assert pydicom.dcmread(out / "ct_seg.dcm").PatientName == name
    written = [path.read_text() for path in [log, *out.glob("*.json"), *out.glob("*.csv")]]
    written += [(out / "report.html").read_text(), *capfd.readouterr()]
    assert "ct: malformed PatientBirthDate, PatientSex, StudyDate" in "".join(written)
    assert not [text for text in written if "Zacharias" in text]


def test_a_slice_is_never_replaced_by_a_dicom_seg(tiny_bundle, tmp_path, monkeypatch, capsys):
    (first, *_) = series(tmp_path / "ct", names=["ct_seg.dcm", "b.dcm", "c.dcm"])
    before = first.read_bytes()
    arguments = ("segment", tmp_path / "ct", "-o", tmp_path / "ct", "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments, "--dicom-seg") == 1
    assert (
        "ct_seg.dcm: no DICOM SEG of a run, so it is not replaced. Move" in capsys.readouterr().err
    )
    assert first.read_bytes() == before


def test_a_folder_of_dicom_folders_is_a_batch(patients, tiny_bundle, tmp_path, monkeypatch):
    arguments = ("segment", patients, "-o", tmp_path, "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments) == 0
    assert statuses(tmp_path) == {"one": "segmented", "two": "segmented"}
    assert run(monkeypatch, *arguments, "--resume") == 0
    assert statuses(tmp_path) == {"one": "kept", "two": "kept"}
    for _ in range(2):  # it is made from labels that are kept
        assert run(monkeypatch, *arguments, "--resume", "--dicom-seg") == 0
        assert statuses(tmp_path) == {"one": "kept", "two": "kept"}
        assert pydicom.dcmread(tmp_path / "two_seg.dcm").pixel_array.any()
        (tmp_path / "two_seg.dcm").unlink()


def test_one_series_of_several_is_chosen(tiny_bundle, tmp_path, monkeypatch, capsys):
    series(tmp_path / "both", names=["a.dcm", "b.dcm", "c.dcm"])
    series(tmp_path / "both", names=["d.dcm", "e.dcm", "f.dcm"], SeriesInstanceUID="1.2.99")
    arguments = ("segment", tmp_path / "both", "--bundle", tiny_bundle, "-o")
    assert run(monkeypatch, *arguments, tmp_path / "out") == 0
    assert "chosen; left out: 1.2.99 (" in capsys.readouterr().err
    labels = tmp_path / "out" / "both_seg.nii.gz"
    before = labels.read_bytes()
    assert run(monkeypatch, *arguments, tmp_path / "out", "--series", "1.2.99") == 1
    assert "holds the labels of" in capsys.readouterr().err  # of the other series
    assert labels.read_bytes() == before
    assert run(monkeypatch, *arguments, tmp_path / "other", "--series", "1.2.99") == 0
    assert (tmp_path / "other" / "both_seg.nii.gz").is_file()


def test_a_nifti_scan_has_no_dicom_seg(phantoms, tiny_bundle, tmp_path, monkeypatch, capsys):
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    arguments = ("segment", scan, "-o", tmp_path, "--bundle", tiny_bundle, "--dicom-seg")
    assert run(monkeypatch, *arguments) == 1
    assert "no DICOM series, to which a DICOM SEG could refer. Leave" in capsys.readouterr().err
