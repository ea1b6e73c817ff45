import sys

import numpy as np
import pydicom
import pytest
from nibabel.affines import apply_affine

from dicoms import SLICES, STORED, UID, fails, geometries, lps, series
from monai_attn.io.dicom.segmentation import write_dicom_seg
from monai_attn.io.scan import open_scan

hd = pytest.importorskip("highdicom")

NAMES = {0: "background", 1: "pancreas", 4: "left_kidney", 7: "odd finding"}
LABELS = np.select([STORED.T < 300, STORED.T > 2100, STORED.T == 1200], [1, 4, 7])


def scan(folder, **options):
    """A series, its grid and its files in order."""
    series(folder, **options)
    opened = open_scan(folder)
    return opened.grid, opened.files


def write(path, labels, grid, files, names=NAMES):
    return write_dicom_seg(path, labels, grid, files, names, version="1.2")


def places(path, number):
    """Where the voxels of a segment lie in RAS+ mm, by the file's own geometry, frame by frame."""
    read = pydicom.dcmread(path)
    frames = np.reshape(read.pixel_array, (-1, read.Rows, read.Columns))
    shared = read.SharedFunctionalGroupsSequence[0]
    found = []
    for frame, own in zip(frames, read.PerFrameFunctionalGroupsSequence, strict=True):
        if own.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        start = np.array(own.PlanePositionSequence[0].ImagePositionPatient, float)
        turn = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
        rows, columns = shared.PixelMeasuresSequence[0].PixelSpacing
        for row, column in np.argwhere(frame):
            found.append(start + columns * column * turn[:3] + rows * row * turn[3:])
    return np.reshape(found, (-1, 3)) * (-1, -1, 1)


def in_order(points):
    return points[np.lexsort(np.round(points, 3).T)]


@geometries
@pytest.mark.parametrize("names", [["0", "1", "2"], ["2", "1", "0"]], ids=["sorted", "flipped"])
def test_each_segment_lies_where_its_label_does(tmp_path, orientation, step, names):
    grid, files = scan(
        tmp_path / "scan",
        positions=lps(orientation, step),
        ImageOrientationPatient=list(orientation),
        names=names,
    )
    path = write(tmp_path / "seg.dcm", LABELS, grid, files)
    for number, label in enumerate((1, 4, 7), start=1):
        expected = apply_affine(grid.affine, np.argwhere(label == LABELS))
        assert len(expected)
        np.testing.assert_allclose(in_order(places(path, number)), in_order(expected), atol=1e-4)


def test_highdicom_reads_the_labels_back_by_slice(tmp_path):
    grid, files = scan(tmp_path / "scan", names=["b", "c", "a"])
    read = hd.seg.segread(write(tmp_path / "seg.dcm", LABELS, grid, files))
    uids = [pydicom.dcmread(file).SOPInstanceUID for file in files]
    planes = read.get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(planes.T, np.searchsorted(sorted(NAMES), LABELS))


def test_segments_have_names_and_codes(tmp_path):
    path = write(tmp_path / "seg.dcm", LABELS, *scan(tmp_path / "scan"))
    found = []
    for segment in pydicom.dcmread(path).SegmentSequence:
        category = segment.SegmentedPropertyCategoryCodeSequence[0]
        kind = segment.SegmentedPropertyTypeCodeSequence[0]
        assert category.CodingSchemeDesignator == kind.CodingSchemeDesignator == "SCT"
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert segment.SegmentAlgorithmName == "monai-attn"
        found.append(
            (segment.SegmentNumber, segment.SegmentLabel, category.CodeValue, kind.CodeValue)
        )
    assert found == [
        (1, "pancreas", "91723000", "15776009"),
        (2, "left_kidney", "91723000", "64033007"),
        (3, "odd finding", "85756007", "85756007"),
    ]


def test_it_refers_to_the_series_and_belongs_to_the_study(tmp_path):
    grid, files = scan(tmp_path / "scan")
    read = pydicom.dcmread(write(tmp_path / "seg.dcm", LABELS, grid, files))
    (source,) = read.ReferencedSeriesSequence
    slices = [pydicom.dcmread(file) for file in files]
    assert source.SeriesInstanceUID == UID != read.SeriesInstanceUID
    assert {one.ReferencedSOPInstanceUID for one in source.ReferencedInstanceSequence} == {
        one.SOPInstanceUID for one in slices
    }
    assert (read.Modality, read.SegmentationType) == ("SEG", "BINARY")
    assert read.PatientID == slices[0].PatientID
    assert read.StudyInstanceUID == slices[0].StudyInstanceUID
    assert read.FrameOfReferenceUID == slices[0].FrameOfReferenceUID
    assert read.SoftwareVersions == "1.2"


def test_empty_frames_are_left_out(tmp_path):
    labels = np.zeros_like(LABELS)
    labels[1, 2, 1] = 1
    path = write(tmp_path / "seg.dcm", labels, *scan(tmp_path / "scan"))
    assert pydicom.dcmread(path).NumberOfFrames == 1
    assert len(pydicom.dcmread(path).SegmentSequence) == 3, "also those without a voxel"


def test_a_scan_without_findings_is_still_a_file(tmp_path):
    path = write(
        tmp_path / "seg.dcm", np.zeros_like(LABELS), *scan(tmp_path / "scan"), {1: "pancreas"}
    )
    read = pydicom.dcmread(path)
    assert read.NumberOfFrames == SLICES
    assert not read.pixel_array.any()


def test_slices_without_what_may_be_empty(tmp_path):
    """As those who remove names leave them."""
    tags = {"PatientID": None, "PatientName": None, "SliceThickness": None}
    read = pydicom.dcmread(write(tmp_path / "s.dcm", LABELS, *scan(tmp_path / "scan", **tags)))
    assert not read.PatientID
    assert read.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness == 2.5


# --- what is refused

REFUSED = {
    "another shape": (
        LABELS[:2],
        NAMES,
        "labels do not fit the grid of {scan} (got shape (2, 4, 3) and 3 slices",
    ),
    "a label without name": (LABELS, {1: "pancreas"}, "labels [4, 7] have no name; give each"),
    "no names": (LABELS, {0: "background"}, "no label has a name; give a name to each"),
}


@pytest.mark.parametrize(("labels", "names", "fault"), REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_segmentation_is_not_written(tmp_path, labels, names, fault):
    path, (grid, files) = tmp_path / "seg.dcm", scan(tmp_path / "scan")
    fails(f"{path}: {fault.format(scan=grid.path)}", write, path, labels, grid, files, names)
    assert not path.exists()


def test_the_slices_must_be_those_of_the_grid(tmp_path):
    path, (grid, files) = tmp_path / "seg.dcm", scan(tmp_path / "scan")
    fails("(got shape (5, 4, 3) and 2 slices", write, path, LABELS, grid, files[1:])
    fails("is not a DICOM SEG and would be overwritten; move", write, files[0], LABELS, grid, files)
    fails(
        f"{tmp_path}/a.nii: the name of a DICOM file must end in",
        write,
        tmp_path / "a.nii",
        LABELS,
        grid,
        files,
    )
    files[1].unlink()
    fails(f"{files[1]}: can no longer be read (No such", write, path, LABELS, grid, files)


def test_slices_that_are_not_one_series_make_one_line(tmp_path):
    grid, files = scan(tmp_path / "scan", change={1: {"StudyInstanceUID": "1.2.99"}})
    path = tmp_path / "seg.dcm"
    message = f"{files[1]}: another StudyInstanceUID than in 0.dcm (expected one for all). "
    fails(message, write, path, LABELS, grid, files)
    assert not path.exists()


def test_an_error_of_highdicom_makes_one_line(tmp_path, monkeypatch):
    path, (grid, files) = tmp_path / "seg.dcm", scan(tmp_path / "scan")
    monkeypatch.setattr(hd.seg, "Segmentation", lambda **_: {}["x"])
    message = f"{path}: the slices cannot become a DICOM SEG (KeyError: 'x'); write NIfTI instead"
    fails(message, write, path, LABELS, grid, files)
    assert not path.exists()


def test_without_highdicom_it_says_what_to_install(tmp_path, monkeypatch):
    path, (grid, files) = tmp_path / "seg.dcm", scan(tmp_path / "scan")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    message = 'DICOM SEG needs highdicom; pip install "monai-attn[dicom]"'
    fails(message, write, path, LABELS, grid, files)


def test_segments_of_structures_that_overlap_share_voxels(tmp_path):
    grid, files = scan(tmp_path / "scan")
    path = tmp_path / "seg.dcm"
    names, values = {1: "organ", 4: "tumour"}, {1: (1, 4), 4: (4,)}
    labels = np.where(LABELS == 7, 0, LABELS)
    write_dicom_seg(path, labels, grid, files, names, version="1", values=values)
    for number, label in ((1, 1), (2, 4)):
        voxels = np.argwhere(np.isin(labels, values[label]))
        np.testing.assert_allclose(
            in_order(places(path, number)), in_order(apply_affine(grid.affine, voxels)), atol=1e-3
        )
