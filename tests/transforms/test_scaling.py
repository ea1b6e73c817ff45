import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from monai_attn.transforms.grids import NeighbourSlicesd
from monai_attn.transforms.pipelines import preprocessing
from monai_attn.transforms.scaling import ScaleChannelsd
from scans import save


def scaled(volume, scaling):
    image = MetaTensor(torch.as_tensor(volume, dtype=torch.float32)[None].clone())
    entry = {"name": "T1", "scaling": scaling}
    return ScaleChannelsd("image", [entry])({"image": image})["image"][0].numpy()


VOLUME = np.random.default_rng(0).normal(300, 50, (12, 10, 8)).astype(np.float32)


def test_zscore():
    values = scaled(VOLUME, "zscore")
    np.testing.assert_allclose(values, (VOLUME - VOLUME.mean()) / VOLUME.std(), atol=1e-4)


def test_zscore_of_nonzero_voxels_leaves_the_others():
    volume = VOLUME.copy()
    volume[:6] = 0
    values = scaled(volume, "zscore_nonzero")
    assert (values[:6] == 0).all()
    inside = VOLUME[6:]
    np.testing.assert_allclose(values[6:], (inside - inside.mean()) / inside.std(), atol=1e-4)


def test_percentiles():
    low, high = np.quantile(VOLUME, [0.005, 0.995])
    expected = np.clip((VOLUME - low) / (high - low), 0, 1)
    np.testing.assert_allclose(scaled(VOLUME, "percentiles"), expected, atol=1e-5)


def test_a_window_in_hu():
    expected = np.clip((VOLUME - 250) / 100, 0, 1)
    np.testing.assert_allclose(scaled(VOLUME, [250, 350]), expected, atol=1e-5)


def test_none():
    np.testing.assert_array_equal(scaled(VOLUME, "none"), VOLUME)


@pytest.mark.parametrize("scaling", ["zscore", "zscore_nonzero", "percentiles"])
@pytest.mark.parametrize("value", [0, 7])
def test_a_channel_of_one_value_becomes_0(scaling, value):
    assert (scaled(np.full((3, 3, 3), value), scaling) == 0).all()


def test_a_channel_without_a_scaling_is_refused():
    with pytest.raises(ValueError, match="channel T1 has no scaling"):
        ScaleChannelsd("image", ["T1"])


def test_each_channel_has_its_own_scaling(tmp_path):
    """From files to the input of a 3D and of a 2D network."""
    affine = np.diag([10.0, 10.0, 10.0, 1.0])
    files = [save(tmp_path / f"{n}.nii", VOLUME * (1 + n), affine) for n in (0, 1)]
    channels = [{"name": "CT", "scaling": [250.0, 350.0]}, {"name": "PET", "scaling": "zscore"}]
    steps = preprocessing([10.0] * 3, None, channels=channels)
    with pytest.warns(UserWarning, match="channel CT: "):
        image = steps({"image": [str(file) for file in files]})["image"]
    assert image.shape == (2, *VOLUME.shape)
    np.testing.assert_allclose(image[0], np.clip((VOLUME - 250) / 100, 0, 1), atol=1e-4)
    assert abs(float(image[1].mean())) < 1e-4
    stacked = preprocessing([10.0] * 3, None, 3, channels)
    with pytest.warns(UserWarning, match="channel CT: "):
        slices = stacked({"image": [str(file) for file in files]})["image"]
    assert slices.shape == (6, *VOLUME.shape)
    for position, (step, channel) in enumerate((s, c) for s in (-1, 0, 1) for c in (0, 1)):
        here = np.clip(np.arange(8) + step, 0, 7)
        np.testing.assert_array_equal(slices[position], image[channel][..., here])


def test_neighbours_of_one_channel_are_as_before():
    volume = torch.arange(8.0).reshape(1, 1, 1, 8)
    slices = NeighbourSlicesd("image", 3)({"image": volume})["image"]
    assert slices[:, 0, 0].tolist() == [
        [0, 0, 1, 2, 3, 4, 5, 6],
        [*range(8)],
        [1, 2, 3, 4, 5, 6, 7, 7],
    ]
