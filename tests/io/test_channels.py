import numpy as np
import pytest

from monai_attn.io.channels import as_image, files_of, open_channels, open_image
from monai_attn.io.errors import collect_warnings
from scans import AFFINE, VALUES, fails, save

NAMES = ("T1", "T2")


@pytest.fixture
def pair(tmp_path):
    return [save(tmp_path / f"a_{n:04d}.nii", VALUES + 100 * n) for n in (0, 1)]


def _values(scan):
    return [int(channel.read().data.min()) for channel in scan.channels]


def test_a_scan_for_each_channel(pair):
    scan = open_channels(pair, NAMES)
    assert _values(scan) == [0, 100]
    assert scan.files == tuple(pair)
    assert scan.path == pair[0]
    assert scan.grid.shape == VALUES.shape
    assert scan.read().data.min() == 0  # as one scan it is the first


def test_the_volumes_of_one_file(tmp_path):
    path = save(tmp_path / "a.nii", np.stack([VALUES, VALUES + 100], axis=-1))
    scan = open_channels([path], NAMES)
    assert _values(scan) == [0, 100]
    assert scan.files == (path,)
    assert _values(open_image(path)) == [0, 100]


def test_the_digest_is_that_of_all_files(pair):
    before = open_channels(pair, NAMES).sha256
    assert before != open_channels(pair[::-1], NAMES).sha256
    save(pair[1], VALUES + 7)
    assert before != open_channels(pair, NAMES).sha256


def test_a_doubt_about_one_file_is_told_once(tmp_path):
    path = tmp_path / "a.nii"
    values = np.stack([VALUES, VALUES], axis=-1)
    save(path, values, qform_code=0, sform_code=0)
    with collect_warnings() as doubts:
        _values(open_image(path))
    assert len(doubts) <= 1


@pytest.mark.parametrize(
    ("files", "names", "fault"),
    [
        (
            [0],
            NAMES,
            "a_0000.nii: wrong number of channels (got 1, expected 2: T1, T2, in this order)",
        ),
        (
            [0, 1],
            ["CT"],
            "a_0000.nii: wrong number of channels (got 2: a_0000.nii, a_0001.nii, expected 1: CT)",
        ),
        (
            [0, 1],
            ["A", "B", "C"],
            "(got 2: a_0000.nii, a_0001.nii, expected 3: A, B, C, in this order)",
        ),
    ],
)
def test_another_number_of_channels_is_refused(pair, files, names, fault):
    fails(fault, open_channels, [pair[number] for number in files], names)


def test_a_channel_off_the_grid_is_refused(pair):
    moved = AFFINE.copy()
    moved[0, 3] += 4
    save(pair[1], VALUES, moved)
    scan = open_channels(pair, NAMES)
    fault = (
        f"{pair[1]}: is not on the grid of {pair[0]}, the first channel of a_0000 (up to 4 mm away"
    )
    fails(fault, lambda: scan.grid)
    save(pair[1], VALUES[:, :, :1])
    fails("(got 4 x 3 x 1 voxels, expected 4 x 3 x 2)", lambda: open_channels(pair, NAMES).grid)


def test_files_of_an_image(pair):
    assert files_of([str(file) for file in pair]) == tuple(pair)
    assert as_image([pair[0]]) == pair[0]
    assert as_image(pair) == tuple(pair)
