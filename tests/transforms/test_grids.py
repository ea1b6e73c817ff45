import numpy as np
import pytest
import torch
from monai import transforms as T
from monai.data import MetaTensor

from grids import AFFINES, RAS, SHAPE, SHEARED, SPACING
from monai_attn.transforms.grids import NeighbourSlicesd, ResampleRASd, ras_grid


def monai_ras(mode="bilinear", spacing=SPACING):
    """The two steps of MONAI that `ResampleRASd` takes at once."""
    return T.Compose(
        [
            T.Orientationd("image", axcodes="RAS", labels=None),
            T.Spacingd("image", pixdim=spacing, mode=mode),
        ]
    )


ANY = {**AFFINES, "sheared": SHEARED}


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("affine", ANY.values(), ids=ANY.keys())
def test_one_pass_is_orientation_and_spacing(affine, mode):
    image = MetaTensor(torch.rand(2, *SHAPE), affine=torch.as_tensor(affine))
    spacing = (1.37, 1.73, 2.19)  # no voxel halfway between two, where rounding decides
    ours = ResampleRASd("image", spacing, mode)({"image": image})["image"]
    theirs = monai_ras(mode, spacing)({"image": image})["image"]
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-9)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("affine", ANY.values(), ids=ANY.keys())
def test_resampling_is_inverted_like_monais_own(affine):
    image = MetaTensor(torch.rand(1, *SHAPE), affine=torch.as_tensor(affine))
    back = {}
    for steps in (T.Compose([ResampleRASd("image", SPACING)]), monai_ras()):
        data = steps({"image": image})
        data["pred"] = torch.sin(data["image"] * 9)
        undo = T.Invertd("pred", steps, orig_keys="image", nearest_interp=False)
        back[len(back)] = undo(data)["pred"]
    assert back[0].shape == image.shape
    np.testing.assert_allclose(back[0].affine, affine, atol=1e-9)
    np.testing.assert_allclose(back[0], back[1], atol=1e-5)


def resampled(steps, **extra):
    meta = {"filename_or_obj": "/data/a.nii.gz"}
    image = MetaTensor(torch.zeros(1, 4, 4, 4), affine=torch.eye(4), meta=meta)
    return steps({"image": image, **extra})


def test_resampling_leaves_a_string_under_image_path_alone():
    data = resampled(ResampleRASd("image", SPACING), image_path="/data/a.nii", other=3)
    assert (data["image_path"], data["other"]) == ("/data/a.nii", 3)


def test_monai_fails_on_a_string_under_image_path():
    """When this fails, MONAI is mended."""
    with pytest.raises(AttributeError, match="'str' object has no attribute 'update'"):
        resampled(T.Spacingd("image", pixdim=SPACING), image_path="/data/a.nii")


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_the_last_digits_of_an_affine_do_not_move_the_grid(affine):
    """The same scan from DICOM and from NIfTI, whose headers round differently, is one scan."""
    shape = (122, 101, 112)  # half of them fall halfway between two sizes
    affine = affine @ np.diag([1.5, 1.5, 1.5, 1])
    expected, place = ras_grid(shape, affine, SPACING)
    rng = np.random.default_rng(0)
    for _ in range(40):
        near = affine.copy()
        near[:3] *= 1 + 1e-7 * rng.standard_normal((3, 4))
        near[:3, :3] += 1e-7 * rng.standard_normal((3, 3))
        found, moved = ras_grid(shape, near, SPACING)
        assert found == expected
        np.testing.assert_allclose(moved, place, atol=1e-4)


def test_a_grid_of_more_voxels_than_any_scan_is_refused():
    """A spacing in the wrong unit would ask for all of the memory."""
    with pytest.raises(
        ValueError, match=r"after resampling to 2 x 2 x 2 mm \(got 127315423991, expected at most"
    ):
        ras_grid((500, 500, 512), np.diag([20.0, 20, 20, 1]), (2.0, 2.0, 2.0))
    assert ras_grid(SHAPE, RAS, SPACING)[0] == SHAPE


# --- neighbouring slices as channels


def test_each_slice_sees_its_neighbours_as_channels():
    volume = torch.arange(4.0).expand(1, 2, 2, 4)
    stacked = NeighbourSlicesd("image", 3)({"image": volume})["image"]
    assert stacked.shape == (3, 2, 2, 4)
    below, itself, above = stacked[:, 0, 0].tolist()
    assert itself == [0, 1, 2, 3]
    assert below == [0, 0, 1, 2]  # the first slice stands in for the one that is missing
    assert above == [1, 2, 3, 3]


def test_neighbouring_slices_keep_the_place_of_the_volume():
    image = MetaTensor(torch.rand(1, *SHAPE), affine=torch.as_tensor(RAS))
    stacked = NeighbourSlicesd("image", 5)({"image": image})["image"]
    assert torch.equal(stacked[2], image[0])
    assert torch.equal(stacked.affine, image.affine)


@pytest.mark.parametrize("slices", [0, 2, -1])
def test_a_number_of_slices_without_a_middle_is_refused(slices):
    with pytest.raises(ValueError, match=rf"slices \(={slices}\)"):
        NeighbourSlicesd("image", slices)
