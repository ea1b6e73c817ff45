import nibabel as nib
import numpy as np
import pytest

from monai_attn.io.hounsfield import SAMPLES, intensity_warnings
from monai_attn.phantom import abdominal_phantom

SPACING = 6.0
AFFINE = np.diag([SPACING, SPACING, SPACING, 1])
SHAPE = (48, 40, 20)


def scan(noise=12.0, contrast=0.0):
    """A body in HU, in whole numbers: air, a fat rim, soft tissue, an organ, a lung, a spine."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    hu = np.full(SHAPE, -1000.0)
    hu[x**2 + y**2 < 0.75] = -100
    hu[x**2 + y**2 < 0.5] = 50
    hu[(x - 0.3) ** 2 + y**2 < 0.08] = 60 + contrast
    hu[((x + 0.3) ** 2 + y**2 < 0.1) & (z > 0)] = -850
    hu[x**2 + (y + 0.5) ** 2 < 0.03] = 500
    rng = np.random.default_rng(0)
    hu += noise * rng.standard_normal(SHAPE) + (hu > 400) * rng.normal(0, 150, SHAPE)
    return np.rint(hu).astype(np.float32)


SCAN = scan()
STORED = np.clip(SCAN, -1024, 3071)  # as a scanner stores it


def padded(value, values=SCAN):
    """As a scanner leaves what is outside its round field of view."""
    x, y = np.ogrid[-1 : 1 : 1j * SHAPE[0], -1 : 1 : 1j * SHAPE[1]]
    return np.where((x**2 + y**2 < 1.1)[..., None], values, np.float32(value))


def with_metal(value):
    values = SCAN.copy()
    values[20:23, 20:23, 8:12] = value
    return values


def byte(low, high, first=0):
    return np.rint(np.clip((SCAN - low) / (high - low), 0, 1) * 255) + first


def rician(values, noise=12):
    real, imaginary = np.random.default_rng(1).normal(0, noise, (2, *SHAPE))
    return np.hypot(values + real, imaginary)


def magnetic(scale=1.0):
    """Fat bright, muscle in the middle, air and bone dark, one side brighter than the other."""
    signal = np.interp(
        SCAN, [-1000, -300, -150, -60, 0, 60, 200, 500], [0, 0, 600, 600, 260, 400, 90, 30]
    )
    return scale * rician(signal * np.linspace(0.7, 1.3, SHAPE[0])[:, None, None])


def only(low, values=SCAN):
    """All but the first 3 % of the voxels are one value."""
    filled = np.full_like(values, low)
    filled[:, :, :1] = np.where(np.arange(SHAPE[1])[:, None] < 20, values[:, :, :1], low)
    return filled


def intensity(values):
    return [
        phrase
        for phrase in intensity_warnings(values.astype(np.float32), AFFINE)
        if "a thin volume" not in phrase
    ]


def noisy(mean, noise, shape=(16, 16, 16)):
    """One tissue."""
    return np.random.default_rng(2).normal(mean, noise, shape)


def speckled(background, value, share):
    """Noise, of which a share of the voxels is something else."""
    chosen = np.random.default_rng(3).random(SHAPE) < share
    return np.rint(np.where(chosen, value, background) + noisy(0, 12, SHAPE))


def mostly_air(padding):
    """The edge of a body, with padding whose rim was resampled."""
    values = np.where(np.arange(SHAPE[0])[:, None, None] < 42, SCAN[:1, :1], SCAN)
    values[:5] = padding
    values[5, :20] = np.linspace(padding, -1810, 20)[:, None]
    return values


CLASSES = np.digitize(scan(0.0), [-500, -50, 55])
CROP = np.s_[28:33, 17:23, 4:16]  # inside the organ
# what is sound about it
SOUND = {
    "a scan": SCAN,
    "clipped where air is": STORED,
    "a range that holds air": np.clip(SCAN, -1000, 400),
    "little noise": scan(3),
    "much noise": scan(60),
    "contrast agent": scan(contrast=200),
    "whole numbers or not": SCAN + np.float32(0.25),
    "padding -1024": padded(-1024),
    "padding -2000": padded(-2000),
    "padding -3024": padded(-3024),
    "padding -32768": padded(-32768),
    "padding 0": padded(0),
    "metal 3071": with_metal(3071),
    "metal 30000": with_metal(30000),
    "much air": mostly_air(-3024),
    "much air and padding": mostly_air(-2000),
    "no noise at all": np.array([-1000, -100, 50, 300])[CLASSES],
    "cut out at the skin": np.where(np.arange(SHAPE[0])[:, None, None] < 43, -1024, SCAN),
    "padding, resampled": np.where(np.arange(SHAPE[1])[:, None] < 2, SCAN / 2 - 1512, SCAN),
    "a large organ, with contrast": np.rint(noisy(120, 22, SHAPE)),
    "a large piece of lung": speckled(-750, 40, 0.06),
    "beside the skin": speckled(-1000, -400, 0.03),
    "an organ without noise": noisy(60, 1.5),
    "an organ with little noise": np.rint(noisy(60, 3)),
    "water": noisy(3, 5),
    "bone": noisy(900, 250, (12, 12, 12)),
    "the organ alone": SCAN[CROP],
    "the organ alone, with contrast": scan(contrast=150)[CROP],
    "the lung alone": SCAN[13:20, 16:24, 12:],
    "the spine alone": SCAN[20:28, 8:12],
}


@pytest.mark.parametrize("values", SOUND.values(), ids=SOUND.keys())
def test_a_sound_scan_raises_no_doubt(values):
    assert intensity(values) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_a_phantom_raises_no_doubt(seed):
    phantom = abdominal_phantom(seed, shape=(56, 48, 28), spacing=(7, 7, 7))
    assert intensity_warnings(phantom.image.astype(np.float32), phantom.affine) == []


# values, how the phrase about them begins or goes on
DOUBTFUL = {
    "constant": (SCAN * 0 + 7, "every voxel is 7: no image"),
    "constant, minus zero": (np.full(SHAPE, -0.0), "every voxel is 0: no image"),
    "all NaN": (SCAN * np.nan, "no voxel has a finite value"),
    "filled": (only(-1024), "97.5% of the voxels are -1024: mostly outside the field of view"),
    "padded all over": (only(-3024), "97.5% of the voxels are -3024: mostly outside"),
    "a label map": (
        CLASSES,
        "4 different whole numbers, values from 0 to 3: a label map?",
    ),
    "a small label": (np.pad(np.ones((6, 6, 6)), 20), "2 different whole numbers"),
    "0 to 1": (np.clip((SCAN + 150) / 400, 0, 1), "values from 0 to 1: scaled to a unit range?"),
    "-1 to 1": (np.clip(SCAN / 1000, -1, 1), "values from -1 to 1: scaled to a unit range?"),
    "z-scored": (
        (SCAN - SCAN.mean()) / SCAN.std(),
        "standard deviation 1.00: normalised?",
    ),
    "a byte": (byte(-1000, 1000), "whole values from 0 to 255: scaled to 8 bits?"),
    "a byte of a window": (byte(-160, 240), "whole values from 0 to 255: scaled to 8 bits?"),
    "a signed byte": (byte(-160, 240, -128), "whole values from -128 to 127: scaled to 8 bits?"),
    "wrapped at 16 bits": (SCAN % 65536, "above 64436: negative HU stored without a sign?"),
    "wrapped at 12 bits": (STORED % 4096, "above 2996: negative HU stored without a sign?"),
    "+1024": (STORED + 1024, "with soft tissue near 1079: HU shifted by 1024?"),
    "+1000, without a sign": (np.maximum(SCAN + 1000, 0), "with soft tissue near 1057: HU shifted"),
    "+1024 and padding": (padded(-2000) + 1024, "with soft tissue near 1079: HU shifted by 1024"),
    "+1024, the organ alone": (SCAN[CROP] + 1024, "HU shifted by 1024? subtract 1024"),
    "-1024": (STORED - 1024, "HU shifted by -1024? add 1024"),
    "-1024, air not clipped": (SCAN - 1024, "HU shifted by -1024? add 1024"),
    "inverted": (-SCAN, "with a peak near 1000, as of air: inverted?"),
    "inverted and padded": (-padded(-3024), "with a peak near 1000, as of air: inverted?"),
    "inverted and stored": (3071 - STORED, "no air or fat below 0: MR, or not in HU?"),
    "inverted and stored, the organ alone": (3071 - STORED[CROP], "0.0% of them between -200"),
    "MR": (magnetic(), "no air or fat below 0: MR"),
    "MR in larger units": (magnetic(4), "no air or fat below 0: MR"),
    "MR in smaller units": (magnetic(0.25), "no air or fat below 0: MR"),
    "MR of tissue alone": (magnetic()[8:40, 6:34, 2:18], "no air or fat below 0: MR"),
    "clipped at -150": (np.clip(SCAN, -150, 250), "values end at exactly -150 ("),
    "clipped below fat": (np.maximum(SCAN, -200), "values end at exactly -200 ("),
    "clipped above": (np.minimum(SCAN, 40), "values end at exactly 40 ("),
    "air": (np.random.default_rng(0).normal(-1000, 20, SHAPE), "nothing but air or padding"),
    "air and two kinds of padding": (
        padded(-2000, np.where(np.arange(SHAPE[1])[:, None] < 9, -3024, noisy(-1000, 20, SHAPE))),
        "nothing but air or padding",
    ),
    "air and padding": (padded(-2000, noisy(-1000, 20, SHAPE)), "nothing but air or padding"),
    "another offset": (SCAN + 500, "of them between -200 and 300: not in HU?"),
}


@pytest.mark.parametrize(("values", "phrase"), DOUBTFUL.values(), ids=DOUBTFUL.keys())
def test_a_mistake_is_named(values, phrase):
    found = intensity(values)
    assert len(found) == 1
    assert phrase in found[0]
    assert "; " in found[0] or "? " in found[0]  # the remedy follows


def test_a_voxel_without_a_value_is_passed_over():
    values = SCAN.copy()
    values[::3] = np.nan
    values[1::3, ::2] = -np.inf
    assert intensity_warnings(values, AFFINE) == []
    assert intensity(np.where(np.isfinite(values), values + 1024, values))[0].startswith(
        f"values from {np.nanmin(values[np.isfinite(values)]) + 1024:.4g} to "
    )


# shape, affine, what is said of the extent
EXTENTS = {
    "long and thin": (
        (48, 40, 800),
        np.diag([0.5, 5, 5, 1]),
        ["only 48 voxels (24 mm) left-right: a thin", "800 voxels (4e+03 mm) head-foot: longer"],
    ),
    "enough": ((7 + 1, 48, 20), np.diag([5.0, 5, 5, 1]), []),
    "few slices": ((48, 40, 3), np.diag([5.0, 5, 25, 1]), ["only 3 voxels (75 mm) head-foot"]),
    "one slice": ((48, 40, 1), np.diag([5.0, 5, 5, 1]), ["only 1 voxel (5 mm) head-foot"]),
    "fine and short": ((48, 40, 20), np.diag([5.0, 5, 1.5, 1]), ["only 20 voxels (30 mm) head-f"]),
    "axes exchanged": (
        (48, 40, 3),
        np.array([[0.0, 0, -5, 0], [5, 0, 0, 0], [0, 5, 0, 0], [0, 0, 0, 1]]),
        ["only 3 voxels (15 mm) left-right"],
    ),
    "flipped": ((48, 3, 20), np.diag([-5.0, -5, 5, 1]), ["only 3 voxels (15 mm) front-back"]),
    "small all over": (
        (9, 9, 9),
        np.diag([2.0, 2, 2, 1]),
        [
            "only 9 voxels (18 mm) left-right, 9 voxels (18 mm) front-back, "
            "9 voxels (18 mm) head-foot: a thin volume"
        ],
    ),
}


@pytest.mark.parametrize(("shape", "affine", "said"), EXTENTS.values(), ids=EXTENTS.keys())
def test_a_volume_too_thin_for_organs_or_too_long_for_a_patient(shape, affine, said):
    values = np.random.default_rng(0).choice(SCAN.ravel(), shape)
    found = intensity_warnings(values, affine)
    assert len(found) == len(said)
    assert all(phrase.startswith(start) for phrase, start in zip(found, said, strict=True))
    assert len(intensity_warnings(values + 1024, affine)) == len(said) + 1, (
        "values and extent, both"
    )


def test_the_order_in_memory_changes_nothing():
    for values in (SCAN, STORED + 1024, np.digitize(scan(0.0), [-500, 0]).astype(np.float32)):
        assert intensity_warnings(np.asfortranarray(values), AFFINE) == intensity_warnings(
            np.ascontiguousarray(values), AFFINE
        )


# shape, of which every nth slice differs
LARGE = [((128, 128, 80), 2), ((128, 128, 120), 2), ((20, 300, 300), 3)]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("shape", "every"), LARGE)
def test_slices_of_a_large_volume_that_take_turns_are_all_seen(shape, every, axis):
    values = np.zeros(shape, np.float32)
    assert values.size > 4 * SAMPLES
    np.moveaxis(values, axis, 0)[::every] = 7
    assert "values from 0 to 7" in intensity_warnings(values, np.eye(4))[0]


@pytest.mark.parametrize("name", ["ct_abdomen_3mm", "ct_abdomen_contrast_5mm"])
def test_real_scans(real_scans, name):
    image = nib.load(real_scans / f"{name}.nii.gz")
    values = image.get_fdata(dtype=np.float32)
    assert intensity_warnings(values, image.affine) == []
    stored = np.maximum(values, -1024) + 1024
    assert ["shifted by 1024" in phrase for phrase in intensity_warnings(stored, image.affine)] == [
        True
    ]


def test_real_labels(real_scans):
    image = nib.load(real_scans / "ct_abdomen_3mm_labels.nii.gz")
    found = intensity_warnings(image.get_fdata(dtype=np.float32), image.affine)
    assert found[0].startswith("62 different whole numbers, values from 0 to 117: a label map?")
