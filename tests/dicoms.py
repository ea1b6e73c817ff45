"""CT series as scanners write them, with tags set at will, sound and broken."""

import itertools

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

SLICES, ROWS, COLUMNS = 3, 4, 5
STORED = 40 * np.random.default_rng(0).permutation(60).astype(np.int16).reshape(3, 4, 5)
HU = STORED.T - 1024.0
AXIAL = (1, 0, 0, 0, 1, 0)
TILT = np.radians(15)
TILTED = (1, 0, 0, 0, np.cos(TILT), np.sin(TILT))
OBLIQUE = (*np.round((0.8, 0.6, 0), 6), *np.round((-0.6 * 0.96, 0.8 * 0.96, 0.28), 6))
UID = "1.2.826.0.1.1"
CT = str(uid.CTImageStorage)
NUMBERS = itertools.count(100_000)  # of as many digits always: files have one length

# orientation, step from slice to slice (None: along the normal)
GEOMETRIES = {
    "axial": (AXIAL, None),
    "axial, feet first": ((-1, 0, 0, 0, 1, 0), None),
    "prone": ((-1, 0, 0, 0, -1, 0), None),
    "coronal": ((1, 0, 0, 0, 0, -1), None),
    "sagittal": ((0, 1, 0, 0, 0, -1), None),
    "oblique": (OBLIQUE, None),
    "tilted gantry": (TILTED, (0, 0, 2.5)),
}
geometries = pytest.mark.parametrize(
    ("orientation", "step"), GEOMETRIES.values(), ids=GEOMETRIES.keys()
)


def dataset(stored, **tags):
    """One slice as a scanner writes it, with tags set at will; a tag that is None is left out."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = tags.pop("syntax", uid.ExplicitVRLittleEndian)
    one.SOPClassUID, one.SOPInstanceUID = CT, f"1.2.8.{next(NUMBERS)}"
    one.PatientName, one.PatientID = "DOE^JANE", "SECRET"
    one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = "1.2.3", UID, "1.2.5"
    one.Modality, one.PhotometricInterpretation, one.SamplesPerPixel = "CT", "MONOCHROME2", 1
    one.Rows, one.Columns = stored.shape
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.PixelSpacing, one.SliceThickness = [0.7, 0.8], 5
    one.ImageOrientationPatient, one.ImagePositionPatient = list(AXIAL), [-100, -120, 30]
    one.RescaleSlope, one.RescaleIntercept = 1, -1024
    one.PixelData = stored.astype("<i2").tobytes()
    for name, value in tags.items():
        if value is None:
            delattr(one, name)
        else:
            setattr(one, name, value)
    one.file_meta.MediaStorageSOPClassUID = one.get("SOPClassUID", CT)
    one.file_meta.MediaStorageSOPInstanceUID = one.get("SOPInstanceUID", "1.2")
    return one


def save(one, path):
    """As a file with preamble, in the byte order its transfer syntax asks for."""
    syntax = one.file_meta.TransferSyntaxUID
    path.parent.mkdir(exist_ok=True)
    pydicom.dcmwrite(
        path,
        one,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=True,
    )
    return path


def normal(orientation):
    return np.cross(orientation[:3], orientation[3:])


def lps(orientation=AXIAL, step=None, count=SLICES, start=(-100, -120, 30)):
    """The positions of the slices: 2.5 mm apart along their normal, or by a step at will."""
    step = 2.5 * normal(orientation) if step is None else np.asarray(step)
    return [np.round(start + k * step, 6).tolist() for k in range(count)]


def series(folder, positions=None, stored=STORED, names=None, change=None, **tags):
    """A series of one slice for each position, and its files in that order.

    Args:
        change: tags of single slices, by their number.
    """
    orientation = tags.get("ImageOrientationPatient") or AXIAL
    positions = lps(orientation) if positions is None else positions
    names = names or [f"{k}.dcm" for k in range(len(positions))]
    paths = []
    for k, (name, position) in enumerate(zip(names, positions, strict=True)):
        own = {"ImagePositionPatient": list(position), **tags, **(change or {}).get(k, {})}
        paths.append(save(dataset(stored[k % len(stored)], **own), folder / name))
    return paths


def fails(message, call, *arguments, **options):
    with pytest.raises(ValueError, match=r".") as raised:
        call(*arguments, **options)
    text = str(raised.value)
    assert "\n" not in text
    assert "; " in text or ". " in text  # the remedy follows
    assert message in text
    assert "DOE" not in text
    assert "SECRET" not in text


def by_simpleitk(compressor):
    """The slice's voxels packed by ITK's codecs: (transfer syntax, bytes)."""

    def pack(one, path):
        image = sitk.GetImageFromArray(one.pixel_array.astype(np.int16))
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.SetFileName(str(path.with_suffix(".packed.dcm")))
        writer.Execute(image)
        packed = pydicom.dcmread(path.with_suffix(".packed.dcm"))
        path.with_suffix(".packed.dcm").unlink()
        one.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
        one.PixelData = packed.PixelData
        one["PixelData"].is_undefined_length = True

    return pack


def by_pydicom(syntax):
    return lambda one, path: one.compress(syntax, generate_instance_uid=False)


def unpacked(syntax):
    def pack(one, path):
        one.file_meta.TransferSyntaxUID = syntax
        if not syntax.is_little_endian:
            one.PixelData = np.frombuffer(one.PixelData, "<i2").astype(">i2").tobytes()

    return pack


PACKERS = {
    uid.ExplicitVRLittleEndian: unpacked(uid.ExplicitVRLittleEndian),
    uid.ImplicitVRLittleEndian: unpacked(uid.ImplicitVRLittleEndian),
    uid.ExplicitVRBigEndian: unpacked(uid.ExplicitVRBigEndian),
    uid.DeflatedExplicitVRLittleEndian: unpacked(uid.DeflatedExplicitVRLittleEndian),
    uid.RLELossless: by_pydicom(uid.RLELossless),
    uid.JPEGLSLossless: by_pydicom(uid.JPEGLSLossless),
    uid.JPEGLosslessSV1: by_simpleitk("JPEG"),
    uid.JPEG2000Lossless: by_simpleitk("JPEG2000"),
}
BIG = np.random.default_rng(1).integers(0, 3000, (SLICES, 32, 40)).astype(np.int16)


def repack(paths, syntax):
    for path in paths:
        one = pydicom.dcmread(path)
        PACKERS[syntax](one, path)
        save(one, path)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    return paths


syntaxes = pytest.mark.parametrize("syntax", PACKERS, ids=lambda syntax: syntax.keyword)
