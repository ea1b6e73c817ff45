"""Plausibility checks of a volume as CT in Hounsfield units (HU).

In HU air lies near -1000, fat near -100, soft tissue from 0 to 100 (to 300 with contrast agent) and
bone above. Each rule checks whether a known mistake explains values that HU do not. It must accept a
crop of any place in the body, so it needs evidence of the mistake: the lack of air, fat or bone in a
crop proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

SAMPLES = 300_000  # voxels: enough to know a share of 0.5 % to within a few per cent of it
THIN_MM, THIN_VOXELS = 40, 8  # a pancreas is 100 mm wide or more; thinner volumes cut every organ
LONG_MM = 3000  # no scanner's table is longer
WIDE_MM = 80  # larger than any region of the body without fat and soft tissue
NOTHING = "no voxel has a finite value; export it again"
CONSTANT = "every voxel is {:g}: no image; export it again"
AXES = {"R": "left-right", "A": "front-back", "S": "head-foot"}


def intensity_warnings(data: NDArray[np.float32], affine: NDArray[np.float64]) -> list[str]:
    """List doubts that a volume (X, Y, Z) is CT in HU, one phrase each; empty for a sound volume.

    At most one phrase is about the values, the most specific one; the others are about the extent.

    Args:
        data: (X, Y, Z) voxels that should be HU.
        affine: (4, 4), voxel to RAS+ mm.

    >>> intensity_warnings(np.zeros((100, 100, 100), np.float32), np.eye(4))
    ['every voxel is 0: no image; export it again']
    """
    doubts = value_warnings(data, affine)
    return doubts if doubts == [NOTHING] else doubts + extent_warnings(data.shape, affine)


def value_warnings(
    data: NDArray[np.float32], affine: NDArray[np.float64], *, hu: bool = True
) -> list[str]:
    """List doubts about the values of one channel (X, Y, Z), without those about its extent.

    Args:
        data: (X, Y, Z) voxels.
        affine: (4, 4), voxel to RAS+ mm.
        hu: whether they should be HU. Other values have no known range, and only one value throughout is
            doubtful.
    """
    if hu:
        extent = voxel_sizes(affine) * data.shape
        sample = _Sample(_rows(data), wide=bool((extent >= WIDE_MM).all()))
        if not sample.values.size:
            return [NOTHING]
        doubt = next((phrase for rule in RULES if (phrase := rule(sample))), None)
        return [doubt] if doubt else []
    value = float(data.flat[0])
    return [CONSTANT.format(value)] if bool((data == value).all()) else []


@dataclass(frozen=True)
class _Sample:
    """Some of a volume's voxels, as (N, n) rows of neighbours; `wide` if all axes reach WIDE_MM."""

    rows: NDArray[np.float32]
    wide: bool

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """Finite values, sorted, so that any share of them takes two searches."""
        return np.sort(self.rows[np.isfinite(self.rows)])

    @cached_property
    def whole(self) -> bool:
        return bool((self.values == np.rint(self.values)).all())

    @property
    def low(self) -> float:
        return float(self.values[0])

    @property
    def high(self) -> float:
        return float(self.values[-1])

    def between(self, low: float, high: float) -> NDArray[np.float32]:
        """Return the values v with low <= v < high."""
        first, last = np.searchsorted(self.values, np.array([low, high], np.float32))
        return self.values[first:last]

    def share(self, low: float, high: float = np.inf) -> float:
        return self.between(low, high).size / self.values.size

    def share_of(self, value: float) -> float:
        first, last = (
            np.searchsorted(self.values, np.float32(value), s) for s in ("left", "right")
        )
        return float(last - first) / self.values.size

    def __str__(self) -> str:
        return f"values from {self.low:.4g} to {self.high:.5g}"


def _rows(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sample about `SAMPLES` voxels in whole rows of memory, as quick to read as single voxels."""
    rows = np.moveaxis(data, int(np.argmin(np.abs(data.strides))), -1)
    excess = max(1.0, data.size / SAMPLES)
    short, long = sorted((0, 1), key=lambda axis: rows.shape[axis])
    # Odd steps, so that alternating slices are both sampled; at least 16 places of each axis stay.
    every = {short: int(min(excess**0.5, max(1, rows.shape[short] // 16))) | 1}
    every[long] = min(int(excess / every[short]) | 1, rows.shape[long])
    places = tuple(slice(every[axis] // 2, None, every[axis]) for axis in (0, 1))
    return rows[places].reshape(-1, rows.shape[-1])


def _labels(sample: _Sample) -> str | None:
    """Detect a label map: few whole numbers, and most voxels equal their neighbours, without noise."""
    distinct = 1 + np.count_nonzero(np.diff(sample.values))
    here, following = sample.rows[:, :-1], sample.rows[:, 1:]
    inside = here > 0
    same = int((inside & (here == following)).sum())
    few = sample.whole and sample.low >= -1 and 1 < distinct <= 256
    if not few or same < 0.7 * max(1, int(inside.sum())):
        return None
    return f"{distinct} different whole numbers, {sample}: a label map? give the scan itself"


def _filled(sample: _Sample) -> str | None:
    """Detect one value throughout; a scan masked at the skin still holds less than 95 % of one value."""
    value = float(np.median(sample.values))
    share = sample.share_of(value)
    if share == 1:
        return CONSTANT.format(value)
    if share < 0.95:
        return None
    return f"{share:.1%} of the voxels are {value:g}: mostly outside the field of view? crop it"


def _scaled(sample: _Sample) -> str | None:
    """Detect normalised values: almost all within 15 units, while CT noise (5 HU or more) spans 30."""
    first, middle, last = np.quantile(sample.values, [0.001, 0.5, 0.999])
    if sample.whole or last - first > 15 or abs(middle) > 10:
        return None
    if sample.low > -1.01 and sample.high < 1.01:
        return f"{sample}: scaled to a unit range? give the scan from before the scaling, in HU"
    std = sample.values.std()
    return (
        f"{sample}, standard deviation {std:.2f}: normalised? give the scan from before the "
        "normalisation, in HU"
    )


def _eight_bits(sample: _Sample) -> str | None:
    """Detect the range of a byte with many values at its lower end, where the noise of CT has few."""
    byte = (sample.low >= 0 and sample.high <= 255) or (sample.low >= -128 and sample.high <= 127)
    wide = sample.high - sample.low > 100  # more than one tissue with noise
    if not (sample.whole and byte and wide and sample.share(-128, sample.low + 8) > 0.1):
        return None
    return f"whole {sample}: scaled to 8 bits? export it again in HU"


def _wrapped(sample: _Sample) -> str | None:
    """Detect negative HU stored without a sign, at the upper end of 12 or 16 bits."""
    for size in (2**16, 2**12):
        wrapped = sample.share(size - 1100, size)
        if 0 <= sample.low < 300 and sample.high < size and wrapped > 0.05:
            return (
                f"{sample}, {wrapped:.0%} of them above {size - 1100}: negative HU stored without"
                f" a sign? subtract {size} from those"
            )
    return None


def _shifted_up_or_inverted(sample: _Sample) -> str | None:
    """Detect a peak near 1000, of soft tissue or air: bone tails off there, and metal has no peak."""
    # Padding is one value at an end of the range, and is not counted.
    above = sample.share(1150) - (sample.high >= 1150) * sample.share_of(sample.high)
    below = sample.share(-1500, -150) - (-1500 <= sample.low < -150) * sample.share_of(sample.low)
    peak, below_peak = sample.share(900, 1150), sample.share(500, 900)
    if peak < max(0.05, below_peak + above):
        return None
    # In a shifted volume bone is above the peak, in an inverted one below zero.
    if below > above:
        middle = np.median(sample.between(900, 1150))
        return f"{sample} with a peak near {middle:.0f}, as of air: inverted? change the sign"
    middle = np.quantile(sample.between(900, 1150), 0.75)  # fat is below
    return (
        f"{sample} with soft tissue near {middle:.0f}: HU shifted by 1024?"
        " subtract 1024 (the header's intercept)"
    )


def _shifted_down(sample: _Sample) -> str | None:
    """Detect fat and soft tissue at the values of air, and the noise of air at those of padding."""
    noise, tissue = sample.between(-2250, -1800), sample.between(-1200, -850)
    air = noise.size / sample.values.size - sample.share_of(sample.low)  # padding is one value
    if air < 0.02 or np.unique(noise).size < 20:
        return None
    if sample.share(-500) > 0.2 * tissue.size / sample.values.size:
        return None
    return (
        f"{sample} with soft tissue near {np.median(tissue):.0f}: HU shifted by -1024?"
        " add 1024 (an intercept applied twice)"
    )


def _no_negative(sample: _Sample) -> str | None:
    """Detect a lack of negative values (air, fat), in spite of a dark background or much bone."""
    dark = sample.share(-np.inf, 0.1 * float(sample.values.mean()))
    strange = dark > 0.05 or (sample.wide and sample.share(300) > 0.1)
    if sample.share(-np.inf, 0) > 0.005 or not strange:
        return None
    return f"{sample}, no air or fat below 0: MR, or not in HU? give a CT in HU"


def _clipped(sample: _Sample) -> str | None:
    """Detect many voxels at one end value, where noise leaves one voxel; accept air clipped at -1000."""
    for end, early in ((sample.low, sample.low > -500), (sample.high, sample.high < 250)):
        share = sample.share_of(end)
        if early and share > 0.01:
            return f"values end at exactly {end:g} ({share:.0%} of them): clipped? give the unclipped scan"
    return None


def _air(sample: _Sample) -> str | None:
    """Detect a volume of only air or padding: lung is -850 on average, with vessels of soft tissue."""
    if sample.share(-800) > 0.005 or np.median(sample.values) > -930:
        return None
    return f"{sample}: nothing but air or padding; give a scan of the abdomen"


def _no_soft_tissue(sample: _Sample) -> str | None:
    """Detect soft tissue below 2 % of all but air (lung has vessels), or values mostly above bone."""
    soft, body = sample.share(-200, 300), sample.share(-800)
    lacking = sample.wide and body > 0.05 and soft < 0.02 * body
    if not lacking and sample.share(1500) < 0.5:
        return None
    return f"{sample}, {soft:.1%} of them between -200 and 300: not in HU? give a CT in HU"


# The first rule that applies wins, so a specific rule comes before a general one.
RULES: tuple[Callable[[_Sample], str | None], ...] = (
    _labels,  # before the next rules: may be 99 % background, and of 8 bits
    _filled,
    _scaled,
    _eight_bits,
    _wrapped,
    _shifted_up_or_inverted,
    _shifted_down,
    _no_negative,
    _clipped,
    _air,
    _no_soft_tissue,
)


def extent_warnings(shape: tuple[int, ...], affine: NDArray[np.float64]) -> list[str]:
    """List axes along which the volume is too short to show whole organs, or longer than any patient."""
    codes = aff2axcodes(affine, tuple((name, name) for name in AXES))
    short, long = [], []
    for n, size, code in zip(shape, voxel_sizes(affine), codes, strict=True):
        extent = f"{n} voxel{'s' * (n > 1)} ({n * size:.3g} mm) {AXES[code]}"
        if n < THIN_VOXELS or n * size < THIN_MM:
            short.append(extent)
        if n * size > LONG_MM:
            long.append(extent)
    doubts = []
    if short:
        thin = "a thin volume, so labels may be wrong; give more of the body"
        doubts.append(f"only {', '.join(short)}: {thin}")
    if long:
        doubts.append(
            f"{', '.join(long)}: longer than a patient; is the spacing wrong? export it again"
        )
    return doubts
