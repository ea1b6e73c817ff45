import numpy as np
import pytest
import torch
from scipy import ndimage

from monai_attn.transforms import resample as module
from monai_attn.transforms.resample import Axis, parallel_axes, resample, resample_onto

SHAPE = (7, 6, 5)
VOLUME = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))


def matrix(turn, shift=(0, 0, 0)):
    """New voxel to old voxel."""
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = turn, shift
    return whole


# new voxel to old voxel, the new grid
GRIDS = {
    "itself": (matrix(np.eye(3)), SHAPE),
    "finer": (matrix(np.diag([0.5, 0.3, 0.7])), (13, 15, 6)),
    "coarser": (matrix(np.diag([1.7, 2.5, 3.1])), (4, 3, 2)),
    "moved": (matrix(np.eye(3), (0.3, -0.4, 1)), SHAPE),
    "flipped": (matrix(np.diag([-1, 1, -1]), (6, 0, 4)), SHAPE),
    "axes exchanged": (matrix(np.diag([0.9, 0.8, 1.3])[:, [2, 0, 1]], (0, 0.2, 0)), (4, 7, 8)),
    "beyond the edge": (matrix(np.eye(3), (-3, -3, -3)), (13, 12, 11)),
    "one voxel": (matrix(np.eye(3), (2.5, 2.5, 2.5)), (1, 1, 1)),
    "sheared": (matrix([[1, 0.3, 0], [0, 1, 0], [0, 0, 1.2]]), (6, 6, 4)),
    "turned": (matrix([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]], (1, 0, 0)), SHAPE),
}


def scipy_at(volume, way, shape, order):
    """Another library's answer, edges going on beyond the volume."""
    return np.stack(
        [
            ndimage.affine_transform(
                channel.numpy().astype(np.float64),
                way[:3, :3],
                way[:3, 3],
                tuple(shape),
                order=order,
                mode="nearest",
            )
            for channel in volume
        ]
    )


@pytest.mark.parametrize(("way", "shape"), GRIDS.values(), ids=GRIDS.keys())
def test_linear_is_scipys(way, shape):
    ours = resample_onto(VOLUME, way, shape)
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours.numpy(), scipy_at(VOLUME, way, shape, 1), atol=1e-5)


@pytest.mark.parametrize(("way", "shape"), GRIDS.values(), ids=GRIDS.keys())
def test_nearest_takes_a_value_that_is_there(way, shape):
    values = torch.arange(7 * 6 * 5, dtype=torch.uint8).reshape(1, *SHAPE)
    way = way + matrix(np.zeros((3, 3)), (0.011, 0.013, 0.017)) * (
        1 - np.eye(4)
    )  # no voxel halfway
    ours = resample_onto(values, way, shape, "nearest")
    assert ours.dtype == torch.uint8
    np.testing.assert_array_equal(ours.numpy(), scipy_at(values, way, shape, 0))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("chunk", [1, 200, 10**9])
def test_chunks_do_not_show(monkeypatch, chunk, order):
    volume = torch.from_numpy(np.array(VOLUME[0].numpy(), order=order))[None]
    for way, shape in GRIDS.values():
        monkeypatch.setattr(module, "CHUNK", 10**9)
        whole = resample_onto(volume, way, shape)
        monkeypatch.setattr(module, "CHUNK", chunk)
        torch.testing.assert_close(resample_onto(volume, way, shape), whole)


def test_whole_numbers_become_floats_where_they_are_mixed():
    volume = torch.tensor([0, 10], dtype=torch.int16).reshape(1, 2, 1, 1)
    axes = [Axis(0, 0, 0.25, 5), Axis(1, 0, 1, 1), Axis(2, 0, 1, 1)]
    assert resample(volume, axes).flatten().tolist() == [0, 2.5, 5, 7.5, 10]


@pytest.mark.parametrize("name", ["sheared", "turned"])
def test_axes_that_turn_are_not_parallel(name):
    assert parallel_axes(*GRIDS[name]) is None


def test_rounding_in_a_header_leaves_axes_parallel():
    way = matrix(np.eye(3)) + 1e-7
    assert [axis.source for axis in parallel_axes(way, (512, 512, 600))] == [0, 1, 2]


def test_modes():
    with pytest.raises(ValueError, match=r"mode \(='cubic'\) must be 'bilinear' or 'nearest'"):
        resample(VOLUME, parallel_axes(np.eye(4), SHAPE), "cubic")
