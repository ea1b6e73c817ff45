"""Grids that several test modules resample from and to."""

import numpy as np

SHAPE = (20, 16, 12)
SPACING = (2.0, 2.0, 2.0)  # of the network's grid, mm


def turned(degrees):
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


RAS = np.array([[2.0, 0, 0, -30], [0, 2, 0, -20], [0, 0, 2, 100], [0, 0, 0, 1]])
SHEARED = RAS + np.array([[0, 0, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
AFFINES = {
    "RAS": RAS,
    "LPS": np.diag([-1.0, -1, 1, 1]) @ RAS,
    "axes exchanged": RAS[:, [2, 0, 1, 3]],
    "oblique": turned(15) @ RAS,
    "anisotropic": RAS @ np.diag([0.7, 0.7, 2.5, 1]),
    "finer than the network's grid": RAS @ np.diag([0.8, 0.75, 0.85, 1]),
    "oblique, anisotropic and flipped": turned(-10) @ RAS @ np.diag([-0.6, 0.8, 2, 1]),
}
