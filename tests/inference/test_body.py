import torch

from monai_attn.inference.body import BodyMask


def image(size=(40, 44, 32)):
    return torch.zeros(1, 1, *size)


def test_what_is_brighter_than_air_is_body():
    x = image()
    x[..., 8:20, 12:24, 4:16] = 0.4
    mask = BodyMask()(x)
    assert mask.shape == (10, 11, 8)
    assert mask.dtype == torch.bool
    expected = torch.zeros(10, 11, 8, dtype=torch.bool)
    expected[2:5, 3:6, 1:4] = True
    assert torch.equal(mask, expected)


def test_one_bright_voxel_makes_its_block_body():
    x = image((8, 8, 8))
    x[..., 5, 2, 7] = 0.01
    assert BodyMask()(x).nonzero().tolist() == [[1, 0, 1]]


def test_the_threshold_is_an_argument():
    x = image((8, 8, 8)) + 0.3
    assert BodyMask()(x).all()
    assert not BodyMask(above=0.3)(x).any()


def test_tubes_and_clothes_are_left_out_but_not_an_arm():
    x = image((80, 80, 40))
    x[..., 8:60, 8:60, :] = 0.4
    x[..., 70:78, 20:32, 8:32] = 0.4  # an arm
    x[..., 70:72, 70:72, 4:6] = 0.4  # a tube
    mask = BodyMask()(x)
    assert mask[18, 6, 4]
    assert not mask[17:, 17:].any()


def test_air_alone_is_no_body():
    assert not BodyMask()(image()).any()


def test_sizes_that_are_no_multiple_of_the_block():
    x = image((9, 10, 11))
    x[..., 8, 9, 10] = 1
    assert BodyMask()(x).nonzero().tolist() == [[2, 2, 2]]


def test_a_slice():
    x = torch.zeros(1, 1, 16, 16)
    x[..., 4:8, 8:12] = 1
    assert BodyMask()(x).nonzero().tolist() == [[1, 2]]
