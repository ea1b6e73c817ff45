"""Random augmentation of labelled scans: as strong as real variation, as in nnU-Net, or far stronger."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monai import transforms as T

LINEAR = {2: "bilinear", 3: "trilinear"}  # by spatial dimensions
NARROW = 3.0  # a window this many times longer than it is thick is turned in its slices only


def scan_variation(
    keys: Sequence[str], modes: Sequence[str], spatial_dims: int = 3
) -> list[T.Transform]:
    """Return augmentation as strong as the variation of patients, scanners and contrast phases."""
    return [
        T.RandAffined(
            keys,
            prob=0.5,
            rotate_range=[0.1, 0.1, 0.26],  # radians, about 6 and 15 degrees
            scale_range=[0.15] * 3,
            mode=modes,
            padding_mode="border",
        ),
        # a pancreas has 40 HU without contrast agent, and 100 HU in the portal-venous phase
        T.RandScaleIntensityd("image", factors=(-0.6, 0.25), prob=0.5),
        T.RandShiftIntensityd("image", offsets=0.1, prob=0.5),  # 25 HU of a window of 250
        T.RandAdjustContrastd("image", gamma=(0.7, 1.5), prob=0.25),
        T.RandGaussianSmoothd(
            "image", prob=0.25, sigma_x=(0.3, 0.9), sigma_y=(0.3, 0.9), sigma_z=(0.3, 0.9)
        ),
        T.RandSimulateLowResolutiond(
            "image", prob=0.15, zoom_range=(0.5, 1.0), upsample_mode=LINEAR[spatial_dims]
        ),
        T.RandGaussianNoised("image", prob=0.3, std=0.08),
    ]


def beyond_scans(
    keys: Sequence[str], modes: Sequence[str], spatial_dims: int = 3
) -> list[T.Transform]:
    """Return augmentation far stronger than real variation: shape, clutter, contrast, sharpness, noise."""
    return [
        T.RandAffined(
            keys,
            prob=0.9,
            rotate_range=[0.17, 0.17, 0.26],  # radians, about 10 and 15 degrees
            scale_range=[0.25] * 3,
            shear_range=[0.1] * 6,
            mode=modes,
            padding_mode="border",
        ),
        T.RandGridDistortiond(
            keys, num_cells=4, distort_limit=0.2, prob=0.5, mode=modes, padding_mode="border"
        ),
        T.RandCoarseShuffled(
            "image", holes=4, max_holes=16, spatial_size=3, max_spatial_size=8, prob=0.4
        ),
        T.RandCoarseDropoutd(
            "image", holes=2, max_holes=12, spatial_size=3, max_spatial_size=8, prob=0.4
        ),
        T.RandHistogramShiftd("image", num_control_points=(4, 10), prob=0.7),
        T.RandAdjustContrastd("image", gamma=(0.6, 1.7), prob=0.3),
        T.RandBiasFieldd("image", coeff_range=(0.0, 0.1), prob=0.3),
        T.RandScaleIntensityd("image", factors=0.3, prob=0.5),
        T.RandShiftIntensityd("image", offsets=0.12, prob=0.5),  # 30 HU of a window of 250
        T.RandGaussianSmoothd(
            "image", sigma_x=(0.3, 1.2), sigma_y=(0.3, 1.2), sigma_z=(0.3, 1.2), prob=0.4
        ),
        T.RandSimulateLowResolutiond(
            "image", zoom_range=(0.4, 1.0), prob=0.3, upsample_mode=LINEAR[spatial_dims]
        ),
        T.RandGaussianNoised("image", std=0.1, prob=0.5),
    ]


def as_in_nnunet(
    keys: Sequence[str],
    modes: Sequence[str],
    roi_size: Sequence[int],
    mirror_axes: Sequence[int] = (),
) -> list[T.Transform]:
    """Return augmentation as nnU-Net's trainer draws it, but mirroring only along `mirror_axes`.

    Rotation, scaling, noise, blur, brightness, contrast, low resolution and gamma have its probabilities and
    ranges (nnU-Net 2.8, `nnUNetTrainer.get_training_transforms`). Noise is as strong as there for a
    foreground whose standard deviation is a fifth of the intensity range. What a rotated or scaled window
    lacks is repeated from its border: nnU-Net cuts a larger window first.
    """
    dims = len(roi_size)
    flat = dims == 2 or max(roi_size) / min(roi_size) > NARROW
    turn = [0.0, 0.0, math.pi] if flat else [math.pi / 6] * 3  # radians about each axis
    sharp = {"sigma_x": (0.5, 1.0), "sigma_y": (0.5, 1.0), "sigma_z": (0.5, 1.0)}
    gamma = {"gamma": (0.7, 1.5), "retain_stats": True}
    return [
        T.RandAffined(
            keys,
            prob=0.2,
            rotate_range=turn[-1:] if dims == 2 else turn,
            mode=modes,
            padding_mode="border",
        ),
        T.RandZoomd(
            keys,
            prob=0.2,
            min_zoom=0.7,
            max_zoom=1.4,
            mode=(LINEAR[dims], "nearest-exact"),
            padding_mode="edge",
        ),
        T.RandGaussianNoised("image", prob=0.1, std=0.06),
        T.RandGaussianSmoothd("image", prob=0.1, **sharp),
        T.RandScaleIntensityd("image", factors=0.25, prob=0.15),
        T.RandScaleIntensityFixedMeand("image", factors=0.25, preserve_range=True, prob=0.15),
        T.RandSimulateLowResolutiond(
            "image", prob=0.125, zoom_range=(0.5, 1.0), upsample_mode=LINEAR[dims]
        ),
        T.RandAdjustContrastd("image", prob=0.1, invert_image=True, **gamma),
        T.RandAdjustContrastd("image", prob=0.3, **gamma),
        *[T.RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in mirror_axes],
    ]
