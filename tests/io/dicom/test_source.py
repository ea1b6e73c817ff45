"""Anonymised series: what DICOM output of them needs, what it copies, and that no name is shown."""

import logging
import warnings

import numpy as np
import pydicom
import pytest
from pydicom import uid

from dicoms import STORED, fails, series
from monai_attn.io.dicom.segmentation import write_dicom_seg
from monai_attn.io.errors import ScanWarning
from monai_attn.io.scan import open_scan

pytest.importorskip("highdicom")

NAME = "Quagmire Zacharias"  # without a caret, which highdicom doubts
LABELS = (STORED.T > 1200).astype(np.uint8)


def write_seg(folder, tmp_path):
    opened = open_scan(folder)
    names = {1: "pancreas"}
    path = tmp_path / "seg.dcm"
    return write_dicom_seg(path, LABELS, opened.grid, opened.files, names, version="1")


# tags of the series; those of the result that must be as here
ANONYMISED = {
    "no PatientID": ({"PatientID": None}, {"PatientID": ""}),
    "blank PatientID": ({"PatientID": ""}, {"PatientID": ""}),
    "no PatientName": ({"PatientName": None}, {"PatientName": ""}),
    "blank PatientName": ({"PatientName": ""}, {"PatientName": ""}),
    "no StudyDate": ({}, {"StudyDate": "", "StudyTime": ""}),
    "a StudyDate": ({"StudyDate": "20200131"}, {"StudyDate": "20200131"}),
    "blank AccessionNumber": ({"AccessionNumber": ""}, {"AccessionNumber": ""}),
    "no SliceThickness": ({"SliceThickness": None}, {}),
    "blank SliceThickness": ({"SliceThickness": ""}, {}),
    "no Modality": ({"Modality": None}, {"Modality": "SEG"}),
    "no SOPClassUID": ({"SOPClassUID": None}, {}),
    "no SOPInstanceUID": (
        {"SOPInstanceUID": None},
        {},
    ),
    "private tags": ({"private": True}, {}),
    "an unknown character set": ({"SpecificCharacterSet": "ISO_IR 999"}, {}),
    "a name in UTF-8": (
        {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Ånne"},
        {"PatientName": "Müller^Ånne"},
    ),
    "a long PatientID": ({"PatientID": "7" * 80}, {"PatientID": "7" * 80}),
    "a subject of a trial": (
        {"ClinicalTrialSubjectID": "S7", "PatientIdentityRemoved": "YES"},
        {"ClinicalTrialSubjectID": "S7", "PatientIdentityRemoved": "YES"},
    ),
}


def anonymised(folder, **tags):
    private, meta = tags.pop("private", False), "SOPInstanceUID" in tags
    for number, path in enumerate(series(folder, **tags)):
        one = pydicom.dcmread(path)
        if private:
            one.private_block(0x0013, "CTP", create=True).add_new(0x10, "LO", NAME)
        if meta:
            one.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number + 1}"
        pydicom.dcmwrite(path, one)
    return folder


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # pydicom's, when the test writes the slices
@pytest.mark.parametrize(("tags", "expected"), ANONYMISED.values(), ids=ANONYMISED.keys())
def test_an_anonymised_series_becomes_a_seg(tmp_path, tags, expected):
    folder = anonymised(tmp_path / "scan", **tags)
    seg = pydicom.dcmread(write_seg(folder, tmp_path))
    assert {keyword: str(seg.get(keyword)) for keyword in expected} == expected
    assert seg.pixel_array.sum() == LABELS.sum()
    (referenced,) = seg.ReferencedSeriesSequence
    slices = [pydicom.dcmread(path) for path in folder.iterdir()]
    assert {one.ReferencedSOPInstanceUID for one in referenced.ReferencedInstanceSequence} == {
        one.get("SOPInstanceUID") or one.file_meta.MediaStorageSOPInstanceUID for one in slices
    }
    kinds = {one.ReferencedSOPClassUID for one in referenced.ReferencedInstanceSequence}
    assert kinds == {uid.CTImageStorage}
    assert NAME not in str(seg)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_patient_and_study_are_copied_from_any_syntax(tmp_path, syntax):
    stored = STORED if syntax.is_little_endian else STORED.byteswap()
    tags = {"PatientAge": "051Y", "StudyDescription": "Abdomen", "PatientWeight": "71.5"}
    series(tmp_path / "scan", stored=stored, syntax=syntax, **tags)
    seg = pydicom.dcmread(write_seg(tmp_path / "scan", tmp_path))
    assert (seg.PatientName, seg.PatientID) == ("DOE^JANE", "SECRET")
    assert {keyword: str(seg[keyword].value) for keyword in tags} == tags


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_uid_that_cannot_be_known_is_named(tmp_path, keyword, value):
    series(tmp_path / "scan", change={1: {keyword: value}})
    message = f"{tmp_path}/scan/1.dcm: {keyword} is missing. Export the series again, or anonymise"
    fails(message, write_seg, tmp_path / "scan", tmp_path)


def test_a_series_without_its_uid_is_named(tmp_path):
    series(tmp_path / "scan", SeriesInstanceUID=None)
    message = f"{tmp_path}/scan/0.dcm: SeriesInstanceUID is missing. "
    fails(message, write_seg, tmp_path / "scan", tmp_path)


def test_two_slices_of_one_uid_are_named(tmp_path):
    """The dataset's UID was removed, and all slices got one in the meta information."""
    series(tmp_path / "scan", SOPInstanceUID=None)
    message = f"{tmp_path}/scan/1.dcm: the same SOPInstanceUID as 0.dcm. "
    fails(message, write_seg, tmp_path / "scan", tmp_path)


MALFORMED = {  # as anonymisers leave them, and as some hospitals write them
    "PatientName": NAME,
    "PatientBirthDate": f"born {NAME}",
    "StudyDate": NAME,
    "StudyTime": NAME,
    "PatientSex": NAME,
    "PatientAge": NAME,
    "AccessionNumber": NAME,
    "StudyInstanceUID": "1.2.anon",
}


@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")  # when the test writes the slices
@pytest.mark.parametrize("keyword", MALFORMED)
def test_a_malformed_value_is_kept_and_never_shown(tmp_path, keyword, capfd, caplog):
    series(tmp_path / "scan", **{"PatientName": NAME, keyword: MALFORMED[keyword]})
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        path = write_seg(tmp_path / "scan", tmp_path)
    everything = " ".join([caplog.text, *capfd.readouterr()])
    assert pydicom.dcmread(path)[keyword].value == MALFORMED[keyword]
    texts = [str(one.message) for one in shown]
    assert all(issubclass(one.category, ScanWarning) for one in shown)
    codes = {
        "PatientBirthDate",
        "StudyDate",
        "StudyTime",
        "PatientSex",
        "PatientAge",
        "StudyInstanceUID",
    }
    assert texts == [f"{tmp_path}/scan: malformed {keyword}; DICOM output has the same values"] * (
        keyword in codes
    )
    assert "Zacharias" not in everything
    assert "1.2.anon" not in everything
