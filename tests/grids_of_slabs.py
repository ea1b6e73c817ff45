"""Scans on a network's grid and around it, and its logits in slabs."""

import numpy as np
import torch

from monai_attn.transforms.restore import Slab

SIZE = (24, 20, 16)  # of the network's grid

ANGLE = np.radians(20)
TURN = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]])


def way(turn, shift=(0, 0, 0)):
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = turn, shift
    return whole


# scan voxel to network voxel, the scan's shape
SCANS = {
    "the same": (way(np.eye(3)), SIZE),
    "finer": (way(np.diag([0.4, 0.45, 0.5])), (60, 44, 32)),
    "thick slices": (way(np.diag([0.4, 0.4, 2.5])), (60, 50, 7)),
    "coarser": (way(np.diag([1.5, 1.5, 1.2])), (16, 14, 13)),
    "LPS": (way(np.diag([-0.5, -0.5, 1]), (23, 19, 0)), (47, 39, 16)),
    "axes exchanged": (way(np.diag([0.5, 0.7, 0.9])[:, [2, 0, 1]], (0.2, 0, 0)), (22, 47, 28)),
    "larger than the grid": (way(np.eye(3), (-4, -4, -4)), (32, 28, 24)),
    "sheared": (way([[1, 0, 0.2], [0, 1, 0], [0, 0, 1]]), SIZE),
    "turned": (way(TURN * 0.8, (3, 0, 0)), SIZE),
}


def logits(classes, share=0.15):
    """Smooth random logits in which about a share of the voxels is foreground, off the grid's edge."""
    generator = torch.Generator().manual_seed(classes)
    coarse = torch.randn(1, classes, *[n // 4 for n in SIZE], generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=SIZE, mode="trilinear")[0] * 4
    smooth[0] += torch.quantile(smooth[1:].amax(0) - smooth[0], 1 - share)
    return smooth


def slabs(values, axis, cuts):
    for start, stop in zip([0, *cuts], [*cuts, SIZE[axis]], strict=True):
        box = [slice(0, n) for n in SIZE]
        box[axis] = slice(start, stop)
        yield Slab(tuple(box), values[(slice(None), *box)])
