"""An RTSTRUCT holds the labels as contours in the planes of the slices, read back by pydicom alone."""

import numpy as np
import pydicom
import pytest
from matplotlib.path import Path

from dicoms import STORED, UID, fails, geometries, lps, series
from monai_attn.io.dicom.rtstruct import write_rtstruct
from monai_attn.io.scan import open_scan

NAMES = {0: "background", 1: "pancreas", 4: "left_kidney", 7: "odd finding"}
LABELS = np.select([STORED.T < 300, STORED.T > 2100, STORED.T == 1200], [1, 4, 7])


def write(path, labels, folder, names=NAMES, **options):
    opened = open_scan(folder)
    write_rtstruct(path, labels, opened.grid, opened.files, names, version="1.2", **options)
    return pydicom.dcmread(path)


def filled(read, number, folder):
    """Voxels (X, Y, Z) of a structure: those whose centre lies in a contour, by the slices' own headers."""
    opened = open_scan(folder)
    mask = np.zeros(opened.grid.shape, bool)
    slices = {pydicom.dcmread(file).SOPInstanceUID: k for k, file in enumerate(opened.files)}
    for contour in read.ROIContourSequence[number - 1].get("ContourSequence", ()):
        (image,) = contour.ContourImageSequence
        k = slices[image.ReferencedSOPInstanceUID]
        header = pydicom.dcmread(opened.files[k])
        row, column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        rows, columns = map(float, header.PixelSpacing)
        points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
        points -= np.array(header.ImagePositionPatient, float)
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
        assert len(points) == contour.NumberOfContourPoints
        assert abs(points @ np.cross(row, column)).max() < 1e-3, "in the plane of its slice"
        ring = np.column_stack([points @ row / columns, points @ column / rows])
        centres = np.stack(np.meshgrid(*map(np.arange, mask.shape[:2]), indexing="ij"), -1)
        inside = Path(np.concatenate([ring, ring[:1]])).contains_points(centres.reshape(-1, 2))
        mask[..., k] |= inside.reshape(mask.shape[:2])
    return mask


@geometries
@pytest.mark.parametrize("names", [["0", "1", "2"], ["2", "1", "0"]], ids=["sorted", "flipped"])
def test_filled_contours_are_the_labels(tmp_path, orientation, step, names):
    folder = tmp_path / "scan"
    series(folder, lps(orientation, step), names=names, ImageOrientationPatient=list(orientation))
    read = write(tmp_path / "r.dcm", LABELS, folder)
    for number, label in enumerate((1, 4, 7), start=1):
        np.testing.assert_array_equal(filled(read, number, folder), label == LABELS)


def test_holes_pieces_and_a_single_slice(tmp_path):
    stored = np.zeros((1, 12, 14), np.int16)
    folder = tmp_path / "scan"
    series(folder, lps(count=1), stored)
    labels = np.zeros((14, 12, 1), np.uint8)
    labels[1:8, 1:9], labels[2:6, 2:5], labels[4, 3], labels[12, 10], labels[3, 7] = 1, 0, 1, 1, 0
    read = write(tmp_path / "r.dcm", labels, folder, {1: "liver"})
    np.testing.assert_array_equal(filled(read, 1, folder), labels == 1)
    assert len(read.ROIContourSequence[0].ContourSequence) == 3, "a hole is no contour of its own"


def test_structures_have_names_codes_and_colours(tmp_path):
    series(tmp_path / "scan")
    read = write(tmp_path / "r.dcm", np.where(LABELS == 7, 0, LABELS), tmp_path / "scan")
    found = [
        (one.ROINumber, one.ROIName, one.ROIGenerationAlgorithm, kind.RTROIInterpretedType)
        for one, kind in zip(
            read.StructureSetROISequence, read.RTROIObservationsSequence, strict=True
        )
    ]
    assert found == [
        (1, "pancreas", "AUTOMATIC", "ORGAN"),
        (2, "left_kidney", "AUTOMATIC", "ORGAN"),
        (3, "odd finding", "AUTOMATIC", ""),
    ]
    (code,) = read.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("15776009", "SCT")
    assert "ContourSequence" not in read.ROIContourSequence[2], "it was not found"
    assert len({tuple(one.ROIDisplayColor) for one in read.ROIContourSequence}) == 3


def test_it_refers_to_the_series_and_belongs_to_the_study(tmp_path):
    paths = series(tmp_path / "scan", SOPClassUID=None)
    read = write(tmp_path / "r.dcm", LABELS, tmp_path / "scan")
    slices = [pydicom.dcmread(path) for path in paths]
    (frame,) = read.ReferencedFrameOfReferenceSequence
    (referenced,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == UID != read.SeriesInstanceUID
    assert [one.ReferencedSOPInstanceUID for one in referenced.ContourImageSequence] == [
        one.SOPInstanceUID for one in slices
    ]
    assert (read.Modality, read.SoftwareVersions) == ("RTSTRUCT", "1.2")
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID"):
        assert read[keyword].value == slices[0][keyword].value
    assert frame.FrameOfReferenceUID == slices[0].FrameOfReferenceUID


def test_structures_that_overlap_share_voxels(tmp_path):
    series(tmp_path / "scan")
    labels, values = np.where(LABELS == 7, 0, LABELS), {1: (1, 4), 4: (4,)}
    names = {1: "organ", 4: "tumour"}
    read = write(tmp_path / "r.dcm", labels, tmp_path / "scan", names, values=values)
    for number, label in ((1, 1), (2, 4)):
        expected = np.isin(labels, values[label])
        np.testing.assert_array_equal(filled(read, number, tmp_path / "scan"), expected)


def test_what_is_refused(tmp_path):
    paths, path = (
        series(tmp_path / "scan", change={1: {"StudyInstanceUID": None}}),
        tmp_path / "r.dcm",
    )
    fails(f"{paths[1]}: StudyInstanceUID is missing. ", write, path, LABELS, tmp_path / "scan")
    message = f"{path}: labels [4, 7] have no name; give each"
    fails(message, write, path, LABELS, tmp_path / "scan", {1: "pancreas"})
    message = f"{paths[0]}: is not an RTSTRUCT and would be overwritten; move it away"
    fails(message, write, paths[0], LABELS, tmp_path / "scan")
    assert not path.exists()


def test_an_older_pydicom_is_named(tmp_path, monkeypatch):
    """Programs that use a bundle may need it; it reads series, but does not write these files."""
    series(tmp_path / "scan")
    monkeypatch.setattr(pydicom, "__version__", "2.4.4")
    message = f"{tmp_path}/r.dcm: pydicom is too old (got 2.4.4, expected 3 or later). Install"
    fails(message, write, tmp_path / "r.dcm", LABELS, tmp_path / "scan")
