"""The prediction of one fold, as MONAI's ensemble asks for it."""

from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor

import monai_attn


class InferClass:
    """The trained bundle of an algorithm's folder."""

    def __init__(self, config_file=None, **override):
        self.model = monai_attn.load(Path(__file__).parents[1] / "model", mode="full")

    def infer(self, image_file):
        """Return the probabilities (C, X, Y, Z) of an image, on its own grid."""
        path = image_file["image"] if isinstance(image_file, dict) else image_file
        result = self.model.segment(path, probabilities=True)
        chances = np.ascontiguousarray(np.moveaxis(result.probabilities, -1, 0))
        meta = {"filename_or_obj": str(path)}
        return MetaTensor(
            torch.from_numpy(chances), affine=torch.as_tensor(result.affine), meta=meta
        )
