"""Contours, filled again by another program's rule, give the voxels that they were drawn around."""

import numpy as np
import pytest
from matplotlib.path import Path

from monai_attn.io.dicom.contours import contours


def filled(ring, shape):
    """Voxels whose centre lies inside a polygon."""
    centres = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 2)
    return Path(np.concatenate([ring, ring[:1]])).contains_points(centres).reshape(shape)


def area(ring):
    (x, y), (u, v) = ring.T, np.roll(ring, -1, axis=0).T
    return abs((x * v - y * u).sum()) / 2


def drawn(*rows):
    return np.array([[one == "#" for one in row] for row in rows])


SHAPES = {
    "a voxel": drawn("#"),
    "a row": drawn("###"),
    "two pieces": drawn("##..", "##.#"),
    "pieces that touch by a corner": drawn("#.", ".#"),
    "a hole": drawn("###", "#.#", "###"),
    "two holes side by side": drawn("#####", "#.#.#", "#####"),
    "two holes, one below the other": drawn("###", "#.#", "###", "#.#", "###"),
    "holes that touch by a corner": drawn("####", "#.##", "##.#", "####"),
    "a piece in a hole": drawn("#####", "#...#", "#.#.#", "#...#", "#####"),
    "a hole that opens at a corner": drawn("###.", "#.##", "##.#", ".###"),
}


@pytest.mark.parametrize("mask", SHAPES.values(), ids=SHAPES.keys())
def test_filled_contours_are_the_mask(mask):
    layers = [filled(ring, mask.shape).astype(int) for ring in contours(mask)]
    np.testing.assert_array_equal(sum(layers), mask)  # as united polygons, and as subtracted ones


def test_any_mask():
    random = np.random.default_rng(0)
    for _ in range(60):
        mask = random.random(random.integers(1, 20, 2)) < random.random()
        layers = sum((filled(ring, mask.shape).astype(int) for ring in contours(mask)), 0)
        np.testing.assert_array_equal(layers, mask)


def test_no_voxel_has_no_contour():
    assert contours(np.zeros((3, 4), bool)) == []


@pytest.mark.parametrize(("side", "hole"), [(1, 0), (2, 0), (9, 0), (9, 3)])
def test_the_area_is_half_a_voxel_smaller_at_each_outline(side, hole):
    mask = np.ones((side, side), bool)
    mask[3 : 3 + hole, 3 : 3 + hole] = False
    (ring,) = contours(mask)
    assert area(ring) == side**2 - hole**2 - 0.5 + 0.5 * bool(hole)


def test_straight_lines_have_no_corners():
    (ring,) = contours(np.ones((50, 40), bool))
    assert len(ring) == 8
