"""Tiny scans and label maps that several test modules write, sound and broken."""

import json
import re

import nibabel as nib
import numpy as np
import pytest

from monai_attn.io.errors import Faults

SHAPE = (4, 3, 2)
REMEDY = r"; |\. [A-Z]"  # the start of the remedy, which follows the fault
VALUES = np.arange(24).reshape(SHAPE)
AFFINE = np.array([[-2.0, 0, 0, 90], [0, -1, 0, 120], [0, 0, 5, -300], [0, 0, 0, 1]])  # LPS, in RAS


def turned(degrees=20):
    """The affine of a patient who lies askew."""
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ AFFINE


def sheared():
    """The affine of a tilted gantry: the slices slide along y."""
    affine = AFFINE.copy()
    affine[1, 2] = 1.5
    return affine


AFFINES = {
    "RAS": np.diag([2.0, 1.0, 5.0, 1.0]),
    "LPS": AFFINE,
    "axes exchanged": AFFINE[:, [2, 0, 1, 3]],
    "oblique": turned(),
    "sheared": sheared(),
}


def save(path, values=VALUES, affine=AFFINE, kind=nib.Nifti1Image, **header):
    """A file as another program would write it, with header fields set at will."""
    image = kind(values, affine, dtype=values.dtype)
    for name, value in header.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def patch(path, offset, raw):
    """Overwrite bytes of a NIfTI-1 header, where nibabel would refuse to write them."""
    content = bytearray(path.read_bytes())
    content[offset : offset + len(raw)] = raw
    path.write_bytes(content)
    return path


def fails(message, call, *arguments, **options):
    with pytest.raises(ValueError, match=r".") as raised:
        call(*arguments, **options)
    text = str(raised.value)
    assert message in text
    assert "\n" not in text
    assert re.search(REMEDY, text)


def touch(folder, *names):
    """Empty files, for what goes by names alone."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def faults(call, *arguments, **options):
    """The lines of the faults that a call ends in, each with its remedy."""
    with pytest.raises(Faults) as raised:
        call(*arguments, **options)
    for line in raised.value.lines:
        assert "\n" not in line
        assert re.search(REMEDY, line)
    return list(raised.value.lines)


def datalist(folder, content, name="dataset.json"):
    """A JSON file: text as it is, or what stands for an object."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / name


def one_line(raised):
    """What an error says, which is one line."""
    message = str(raised.value)
    assert "\n" not in message
    return message


# a dataset.json of nnU-Net
NNUNET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "pancreas": 1},
    "numTraining": 2,
    "file_ending": ".nii.gz",
}
