from hashlib import sha256

import pytest
import torch

from monai_attn.inference.locator import Locator, Region

SETTINGS = {
    "image_spacing": (2, 2, 2),
    "spacing": (4, 4, 4),
    "threshold": 0.5,
    "margin": 8,  # mm: two voxels
    "volume_range": (1, 40),
    "extent_range": [(8, 80)] * 3,
}


class Bright(torch.nn.Module):
    """Bright voxels are foreground: a probability of 0.9."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.2))

    def forward(self, x):
        return torch.cat([x * 0, (x - 0.5).sign() * self.scale], dim=1)


def image(*boxes, size=(60, 40, 50)):
    x = torch.zeros(1, 1, *size)
    for box in boxes:
        x[(..., *box)] = 1
    return x


BLOCK = (slice(20, 30), slice(10, 20), slice(16, 26))  # 5 x 5 x 5 voxels of 4 mm: 8 ml


def test_the_region_is_what_was_found_and_its_margin():
    region = Locator(Bright(), **SETTINGS)(image(BLOCK))
    assert region.fault == ""
    assert region.volume_ml == pytest.approx(8)
    assert region.extent_mm == (20, 20, 20)
    expected = torch.zeros(30, 20, 25, dtype=torch.bool)
    expected[8:17, 3:12, 6:15] = True
    assert torch.equal(region.mask, expected)


def test_the_grid_of_the_locator():
    """It sees the image at its own spacing, the first voxels on top of each other."""
    seen = []

    class Spy(Bright):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    x = torch.rand(1, 1, 9, 8, 12)
    Locator(Spy(), **{**SETTINGS, "spacing": (4, 4, 6)}).probability(x)
    torch.testing.assert_close(seen[0], x[:, :, ::2, ::2, ::3])


def test_what_lies_apart_is_left_out():
    apart = (slice(50, 52), slice(30, 32), slice(40, 42))
    with_speck = Locator(Bright(), **SETTINGS)(image(BLOCK, apart))
    assert torch.equal(with_speck.mask, Locator(Bright(), **SETTINGS)(image(BLOCK)).mask)
    assert with_speck.volume_ml == pytest.approx(8)


def test_what_the_margin_joins_is_one():
    near = (slice(34, 36), slice(10, 12), slice(16, 18))  # 8 mm beside the block
    joined = Locator(Bright(), **SETTINGS)(image(BLOCK, near))
    assert joined.volume_ml == pytest.approx(8.064)
    assert joined.extent_mm == (32, 20, 20)


@pytest.mark.parametrize(("threshold", "found"), [(0.89, True), (0.91, False)])
def test_the_threshold_is_a_probability(threshold, found):
    region = Locator(Bright(), **{**SETTINGS, "threshold": threshold})(image(BLOCK))
    assert (region.mask is not None) is found


# what is there, the fault
FAULTS = {
    "nothing": ((), "the locator found nothing"),
    "too little": (
        [(slice(0, 4), slice(0, 4), slice(0, 4))],
        "the locator's volume of 1 ml is not within 1 to 40 ml",
    ),
    "too much": (
        [(slice(0, 60), slice(0, 20), slice(0, 20))],
        "the locator's volume of 192 ml is not within 1 to 40 ml",
    ),
    "too long": (
        [(slice(0, 60), slice(0, 8), slice(0, 8))],
        "the locator's extent along axis 0 of 120 mm is not within 8 to 80 mm",
    ),
}


@pytest.mark.parametrize(("boxes", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_not_plausible_gives_no_region(boxes, fault):
    region = Locator(Bright(), **SETTINGS)(image(*boxes))
    assert region.mask is None
    assert region.fault == fault


def test_weights_are_read_at_the_first_call(tmp_path):
    file = tmp_path / "locator.pth"
    locator = Locator(Bright(), file, **SETTINGS)
    missing = Region(None, f"the locator's weights {file} are missing")
    assert locator(image(BLOCK)) == missing
    torch.save({"scale": torch.tensor(-2.2)}, file)  # dark is foreground now
    assert locator(image(BLOCK)).fault.startswith("the locator's volume")


def test_it_serves_the_weights_it_was_made_for_alone(tmp_path):
    """A retrained bundle may look for another organ."""
    model = tmp_path / "model.pt"
    model.write_bytes(b"pancreas")
    partner = (model, sha256(b"pancreas").hexdigest())
    locator = Locator(Bright(), partner=partner, **SETTINGS)
    assert locator(image(BLOCK)).mask is not None
    model.write_bytes(b"liver")
    fault = f"the locator was not made for {model}; train one, or use mode full"
    assert locator(image(BLOCK)) == Region(None, fault)
    model.unlink()
    assert locator(image(BLOCK)) == Region(None, fault)


def test_a_slice():
    x = torch.zeros(1, 1, 40, 40)
    x[..., 10:20, 10:20] = 1
    settings = {**SETTINGS, "image_spacing": (2, 2), "spacing": (4, 4), "volume_range": (0, 9)}
    settings["extent_range"] = [(8, 80)] * 2
    assert Locator(Bright(), **settings)(x).mask.sum() == 81
