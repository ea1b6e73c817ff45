"""Whatever a file holds, it is a volume or a line that says why not; sound ones are read as by nibabel."""

import gzip
import json
import subprocess
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mutants
from monai_attn.io.errors import ScanWarning
from monai_attn.io.scan import read_volume
from monai_attn.io.volume import Volume
from mutants import BROKEN, EXTREMES, fate, sound_files, write

# --- spoilt at random


def test_what_is_spoilt_is_sound_before(tmp_path):
    for files in sound_files()[:-1]:  # the last holds two volumes
        packed = {
            name: gzip.compress(raw) if name.endswith(".gz") else raw for name, raw in files.items()
        }
        write(tmp_path, packed)
        assert fate(tmp_path / next(iter(packed))) == "volume"


def fates(folder, seed, count):
    """What became of so many files in a process of its own, and by how many bytes it grew."""
    command = [sys.executable, "-X", "dev", mutants.__file__, str(seed), str(count), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    found = json.loads(done.stdout)
    return found["fates"], found["growth"]


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 300), pytest.param(1000, 10_000, marks=pytest.mark.slow)]
)
def test_a_spoilt_file_is_a_volume_or_one_line(tmp_path, seed, count):
    found, growth = fates(tmp_path, seed, count)
    assert found.keys() == {"volume", "refused"}, found
    assert min(found.values()) > count / 10, "neither is rare, or little was tried"
    assert growth < 2**30


# --- sound ones, by nibabel

SIZES = st.floats(0.1, 15).map(lambda size: round(size, 3))
ANGLES = st.floats(-np.pi, np.pi).map(lambda angle: round(angle, 3))
TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


@st.composite
def affines(draw):
    """Any spacing, any order and direction of the axes, any obliquity, any place."""
    alpha, beta = draw(ANGLES), draw(ANGLES)
    turn = nib.eulerangles.euler2mat(alpha, beta, 0) if draw(st.booleans()) else np.eye(3)
    axes = np.eye(3)[list(draw(st.permutations(range(3))))]
    signs = draw(st.tuples(*[st.sampled_from((-1, 1))] * 3))
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes @ np.diag(signs) @ np.diag(draw(st.tuples(SIZES, SIZES, SIZES)))
    affine[:3, 3] = draw(st.tuples(*[st.integers(-2000, 2000)] * 3))
    return affine


@st.composite
def images(draw):
    """A NIfTI image of any kind, with its forms, its scaling and its unit of length."""
    single, pair = draw(
        st.sampled_from(
            [(nib.Nifti1Image, nib.Nifti1Pair), (nib.Nifti2Image, nib.Nifti2Pair)],
        )
    )
    name = draw(st.sampled_from(["a.nii", "a.nii.gz", "a.hdr"]))
    kind, order = (pair if name == "a.hdr" else single), draw(st.sampled_from("<>"))
    dtype = np.dtype(draw(st.sampled_from(TYPES))).newbyteorder(order)
    shape = (*draw(st.tuples(*[st.integers(1, 5)] * 3)), *[1] * draw(st.integers(0, 3)))
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 128, shape).astype(dtype)
    header = kind.header_class(endianness=order)
    header.set_data_dtype(dtype)
    header["xyzt_units"] = draw(st.sampled_from([0, 2, 2 + 8]))
    image = kind(values, None, header)
    affine = draw(affines())
    codes = draw(st.tuples(st.integers(0, 5), st.integers(0, 5)))
    image.header.set_qform(affine, code=codes[0])
    image.header.set_sform(affine, code=codes[1])
    for extension in draw(st.lists(st.binary(max_size=40), max_size=2)):
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", extension))
    scaling = draw(st.sampled_from([(1, 0), (1, -1024), (0.5, 2), (-1, 0), (0.001, 7), (0, 9)]))
    return name, image, scaling


def stored(folder, name, image, scaling=(1, 0)) -> Path:
    """The image as a file; nibabel takes no scaling, it finds its own."""
    path = folder / name
    image.to_filename(path)
    raw = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    kind = type(image).header_class
    fields = kind.template_dtype.newbyteorder(image.header.endianness)
    header = np.frombuffer(raw[: fields.itemsize], fields).copy()
    header["scl_slope"], header["scl_inter"] = scaling
    raw = header.tobytes() + raw[fields.itemsize :]
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def agrees(volume: Volume, path: Path) -> None:
    """The same voxels in the same place, and the shape, as nibabel sees them."""
    image = nib.load(path)
    assert image.shape == volume.shape + (1,) * volume.trailing
    np.testing.assert_array_equal(volume.affine, image.affine)
    with np.errstate(all="ignore"):
        expected = image.get_fdata().reshape(volume.shape).astype(np.float32)
        expected[~np.isfinite(expected)] = -1024
    np.testing.assert_allclose(volume.data, expected, rtol=1e-6, atol=1e-6)


MANY = settings(
    derandomize=True,  # the same ones each time
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(MANY, max_examples=150)
@given(images())
def test_a_sound_file_is_read_as_nibabel_reads_it(tmp_path, made):
    path = stored(tmp_path, *made)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        agrees(read_volume(path), path)
    codes = [int(made[1].header[f"{form}_code"]) for form in ("qform", "sform")]
    assert len(caught) == (codes == [0, 0]), "a warning where neither form says the place"


@settings(MANY, max_examples=150)
@given(images(), st.data())
def test_a_field_changed_at_will_is_refused_or_means_what_nibabel_says(tmp_path, made, data):
    path = stored(tmp_path, *made)
    raw = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    fields = type(made[1]).header_class.template_dtype.newbyteorder(made[1].header.endianness)
    header = np.frombuffer(raw[: fields.itemsize], fields).copy()
    numbers = [name for name in fields.names if header[name].dtype.kind in "iuf"]
    field = header[data.draw(st.sampled_from(numbers))].reshape(-1)
    values = (*EXTREMES, *BROKEN) if field.dtype.kind == "f" else EXTREMES
    with np.errstate(all="ignore"):
        value = np.array(data.draw(st.sampled_from(values))).astype(field.dtype)
    field[data.draw(st.integers(0, field.size - 1))] = value
    raw = header.tobytes() + raw[fields.itemsize :]
    path.write_bytes(gzip.compress(raw) if path.name.endswith(".gz") else raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ScanWarning)
        try:
            volume = read_volume(path)
        except ValueError:  # what it says is tested above
            return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel's own, which says them while it repairs
        agrees(volume, path)
