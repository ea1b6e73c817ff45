import os
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames

from dicoms import BIG, HU, PACKERS, SLICES, STORED, dataset, fails, repack, save, series, syntaxes
from monai_attn.io.dicom import tags
from monai_attn.io.dicom.files import list_files
from monai_attn.io.dicom.tags import read_tags
from monai_attn.io.errors import ScanWarning
from monai_attn.io.scan import read_volume

# --- its values

# slope and intercept of each slice
SCALES = {
    "none": [(1, 0)] * 3,
    "one for each slice": [(1, -1024), (2, 10), (0.25, -3.5)],
    "fractions": [(0.333333, -0.5)] * 3,
    "beyond 16 bits": [(100, -1024)] * 3,
}


@pytest.mark.parametrize("scales", SCALES.values(), ids=SCALES.keys())
def test_slope_and_intercept_of_each_slice(tmp_path, scales):
    change = {k: {"RescaleSlope": s, "RescaleIntercept": i} for k, (s, i) in enumerate(scales)}
    series(tmp_path, change=change)
    data = read_volume(tmp_path).data
    expected = np.stack([STORED[k].T * float(s) + i for k, (s, i) in enumerate(scales)], axis=-1)
    np.testing.assert_allclose(data, expected, rtol=1e-6)
    assert data.dtype == np.float32


# what is left out, slope and intercept that are taken
PARTS = [
    (["RescaleSlope", "RescaleIntercept"], 1, 0),
    (["RescaleSlope"], 1, -1024),
    (["RescaleIntercept"], 2, 0),
]


@pytest.mark.parametrize(("missing", "slope", "intercept"), PARTS)
def test_values_without_a_scale_are_warned_of(tmp_path, missing, slope, intercept):
    series(tmp_path, **{"RescaleSlope": 2, **dict.fromkeys(missing)})
    with pytest.warns(
        ScanWarning, match="no rescale slope or intercept; 1 and 0 are used"
    ) as caught:
        data = read_volume(tmp_path).data
    (warning,) = caught
    assert warning.filename == __file__
    np.testing.assert_array_equal(data, STORED.T * slope + intercept)


# stored bits, sign, the bytes of -1000, 0 and 2000 or of what stands for them
BITS = {
    "signed": (16, 1, (-1000, 0, 2000), (-1000, 0, 2000)),
    "unsigned": (16, 0, (24, 1024, 60000), (24, 1024, 60000)),
    "12 in 16": (12, 0, (24, 1024, 4095), (24, 1024, 4095)),
    "12 in 16, signed": (12, 1, (0xC18, 0, 0x7D0), (-1000, 0, 2000)),
    "12 in 16, with an overlay above": (12, 0, (0xF018, 0x1400, 0x2FFF), (24, 1024, 4095)),
}


@pytest.mark.parametrize(("stored", "sign", "raw", "values"), BITS.values(), ids=BITS.keys())
def test_sign_and_bits(tmp_path, stored, sign, raw, values):
    series(
        tmp_path,
        Rows=1,
        Columns=3,
        BitsStored=stored,
        HighBit=stored - 1,
        PixelRepresentation=sign,
        PixelData=np.array(raw).astype("<u2").tobytes() + b"",
    )
    data = read_volume(tmp_path).data
    assert (data == np.subtract(values, 1024)[:, None, None]).all()


@syntaxes
def test_any_transfer_syntax_gives_the_same_voxels(tmp_path, syntax):
    repack(series(tmp_path, stored=BIG), syntax)
    grid = read_volume(tmp_path)
    data = grid.data
    np.testing.assert_array_equal(data, BIG.T - 1024)
    assert grid.shape == (40, 32, 3)


# --- damage


def attempt(folder):
    """The voxels, or what is said in their place."""
    try:
        return read_volume(folder).data
    except ValueError as error:
        return str(error)


@syntaxes
def test_every_cut_gives_an_error_or_the_whole_slice_and_silence(tmp_path, syntax, capfd):
    path = repack(series(tmp_path, stored=BIG), syntax)[1]
    whole = path.read_bytes()
    padded = 3 * (syntax.is_encapsulated or syntax.is_deflated)  # bytes behind the voxels, perhaps
    for cut in (1, 2, 3, 9, 17, 40, 200, len(whole) // 2, len(whole) - 300, len(whole) - 132):
        path.write_bytes(whole[:-cut])
        result = attempt(tmp_path)
        if isinstance(result, str):
            assert result.startswith(f"{tmp_path}: 1.dcm ")
            assert result.endswith("; copy it again")
        else:
            assert cut <= padded
            np.testing.assert_array_equal(result, BIG.T - 1024)
    assert capfd.readouterr() == ("", "")


NATIVE = [syntax for syntax in PACKERS if not syntax.is_encapsulated]


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("length", [0, 2, 38])
def test_a_whole_file_with_too_few_voxels(tmp_path, syntax, length, capfd):
    """GDCM would fill them up with what lies in memory."""
    paths = series(tmp_path)
    one = pydicom.dcmread(paths[1])
    PACKERS[syntax](one, paths[1])
    one.PixelData = one.PixelData[:length]
    save(one, paths[1])
    message = f"{tmp_path}: 1.dcm has too few voxels (got {length} bytes, expected 40); copy it ag"
    fails(message, read_volume, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_deflated_file_is_not_inflated_without_end(tmp_path, monkeypatch):
    """A few kilobytes can hold gigabytes, and pydicom inflates them all."""
    path = repack(series(tmp_path), uid.DeflatedExplicitVRLittleEndian)[1]
    (file,) = (file for file in list_files(tmp_path) if file.path == path)
    _, voxel_bytes = read_tags(file, ["Rows"])
    assert voxel_bytes == STORED[1].nbytes
    raw = path.read_bytes()
    pixels = zlib.decompress(raw[file.start :], -zlib.MAX_WBITS)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(raw[: file.start] + packer.compress(pixels + bytes(2**24)) + packer.flush())
    monkeypatch.setattr(tags, "MOST_INFLATED", len(pixels) + 2**20)
    tracemalloc.start()
    read_tags(file, ["Rows"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**23


def test_more_bytes_than_voxels_do_not_matter(tmp_path):
    series(tmp_path, change={1: {"PixelData": STORED[1].tobytes() + b"more"}})
    np.testing.assert_array_equal(read_volume(tmp_path).data, HU)


def test_an_icon_is_not_taken_for_the_voxels(tmp_path):
    """Its voxels have the same tag."""
    icon = dataset(np.zeros((20, 20), np.int16))
    del icon.file_meta
    tags = {"IconImageSequence": [icon], "PixelData": STORED[1].tobytes()[:20]}
    series(tmp_path, change={1: tags})
    fails(f"{tmp_path}: 1.dcm has too few voxels (got 20 bytes", read_volume, tmp_path)


def test_voxels_that_look_like_a_tag(tmp_path):
    """Without value representations, four bytes and a length are all there is of it."""
    stored = STORED.copy()
    stored[1].flat[4:8] = (0x7FE0, 0x0010, 2, 0)
    repack(series(tmp_path, stored=stored), uid.ImplicitVRLittleEndian)
    np.testing.assert_array_equal(read_volume(tmp_path).data, stored.T - 1024.0)


def damaged(path, change):
    """The file with its packed voxels changed, and otherwise sound."""
    one = pydicom.dcmread(path)
    frame = next(generate_frames(one.PixelData, number_of_frames=1))
    one.PixelData = encapsulate([change(bytearray(frame))])
    one["PixelData"].is_undefined_length = True
    save(one, path)


@pytest.mark.parametrize(
    "syntax", [s for s in PACKERS if "JPEG" in s.name], ids=lambda s: s.keyword
)
@pytest.mark.parametrize("length", [2, 10, 100, 1000])
def test_packed_voxels_cut_short_in_a_whole_file(tmp_path, syntax, length, capfd):
    path = repack(series(tmp_path, stored=BIG), syntax)[1]
    damaged(path, lambda frame: bytes(frame[:length]))
    fails(f"{tmp_path}: 1.dcm is cut short or damaged; copy it again", read_volume, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_damage_that_libjpeg_only_mutters_about(tmp_path, capfd):
    """It decodes something all the same."""

    def change(frame):
        frame[len(frame) // 2 : len(frame) // 2 + 2] = b"\xff\xd9"  # the picture ends early
        return bytes(frame)

    path = repack(series(tmp_path, stored=BIG), uid.JPEGLosslessSV1)[1]
    damaged(path, change)
    fails(f"{tmp_path}: 1.dcm is cut short or damaged; copy it again", read_volume, tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "syntax", [uid.HTJ2KLossless, uid.MPEG2MPML, uid.UID("1.2.840.10008.1.2.4.95")]
)
def test_a_transfer_syntax_that_cannot_be_decoded(tmp_path, syntax, capfd):
    path = repack(series(tmp_path, stored=BIG), uid.JPEGLSLossless)[1]
    one = pydicom.dcmread(path)
    one.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, one, implicit_vr=False, little_endian=True)
    message = (
        f"{tmp_path}: 1.dcm is stored in transfer syntax {syntax}, which cannot be decoded; conv"
    )
    fails(message, read_volume, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_header_that_promises_other_voxels_than_are_packed(tmp_path):
    path = repack(series(tmp_path, stored=BIG), uid.JPEGLosslessSV1)[1]
    one = pydicom.dcmread(path)
    one.Rows = 64
    save(one, path)
    fails(
        f"{tmp_path}: 1.dcm has 40 x 32 voxels (expected 40 x 64 by its header); export",
        read_volume,
        tmp_path,
    )


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGLSLossless])
def test_a_file_that_vanishes(tmp_path, monkeypatch, syntax):
    path = repack(series(tmp_path, stored=BIG), syntax)[1]
    read = sitk.ImageFileReader.SetOutputPixelType  # between the headers and the voxels

    def vanish(reader, kind):
        path.unlink(missing_ok=True)
        return read(reader, kind)

    monkeypatch.setattr(sitk.ImageFileReader, "SetOutputPixelType", vanish)
    fails(f"{tmp_path}: 1.dcm was removed meanwhile; do not change", read_volume, tmp_path)


def test_a_file_that_changes(tmp_path, monkeypatch):
    path = series(tmp_path)[1]
    read = sitk.ImageFileReader.SetOutputPixelType

    def change(reader, kind):
        if reader.GetFileName() == str(path):
            save(dataset(BIG[0]), path)
        return read(reader, kind)

    monkeypatch.setattr(sitk.ImageFileReader, "SetOutputPixelType", change)
    fails(f"{tmp_path}: 1.dcm is cut short or damaged; copy it", read_volume, tmp_path)


# --- what is said

SPEAK = """
import os, sys
from pathlib import Path
from monai_attn.io.scan import read_volume
try:
    read_volume(Path(sys.argv[1]))
except ValueError as error:
    sys.exit(str(error))
os.write(2, b"still heard")
"""


@pytest.mark.parametrize("damage", [True, False], ids=["damaged", "sound"])
def test_nothing_but_our_own_lines_reach_stderr(tmp_path, damage):
    path = repack(series(tmp_path, stored=BIG), uid.JPEG2000Lossless)[1]
    if damage:
        damaged(path, lambda frame: bytes(frame[:1000]))
    run = [sys.executable, "-c", SPEAK, str(tmp_path)]
    said = subprocess.run(run, capture_output=True, text=True, check=False, env=os.environ)
    line = f"{tmp_path}: 1.dcm is cut short or damaged; copy it again\n"
    assert (said.stdout, said.stderr) == ("", line if damage else "still heard")


def test_what_others_say_meanwhile_is_passed_on(tmp_path, monkeypatch, capfd):
    repack(series(tmp_path, stored=BIG), uid.JPEG2000Lossless)
    read = sitk.ImageFileReader.SetOutputPixelType

    def speak(reader, kind):
        os.write(2, b"a line of another thread\n")
        return read(reader, kind)

    monkeypatch.setattr(sitk.ImageFileReader, "SetOutputPixelType", speak)
    read_volume(tmp_path)
    assert capfd.readouterr().err == "a line of another thread\n" * SLICES


@pytest.mark.parametrize("shown", [True, False])
def test_what_itk_shows_is_left_as_it_was(tmp_path, shown):
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    try:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
        series(tmp_path)
        read_volume(tmp_path)
        assert sitk.ProcessObject.GetGlobalWarningDisplay() == shown
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)
