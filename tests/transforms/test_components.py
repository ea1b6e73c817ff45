import numpy as np
import pytest
from scipy import ndimage

from monai_attn.transforms.components import clean_labels, find_components

EVERY_NEIGHBOUR = np.ones((3, 3, 3))


def blocks(*corners, size=2, shape=(9, 8, 7), value=1):
    """Cubes of a label, by their lowest corners."""
    labels = np.zeros(shape, np.uint8)
    for corner in corners:
        labels[tuple(slice(n, n + size) for n in corner)] = value
    return labels


def shell(value=1):
    """A cube of 5 voxels that encloses a hole of 3."""
    labels = np.zeros((7, 7, 7), np.uint8)
    labels[1:6, 1:6, 1:6] = value
    labels[2:5, 2:5, 2:5] = 0
    return labels


def noise(seed):
    """Two labels, sparse or dense, on a small grid with either order in memory."""
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 9, 3)
    labels = (rng.random(shape) < rng.random()) * rng.integers(1, 3, shape)
    return labels.astype(np.uint8, order="CF"[seed % 2])


# --- as scipy finds them


@pytest.mark.parametrize("seed", range(40))
def test_components_are_those_of_scipy(seed):
    labels = noise(seed)
    found = find_components(labels)
    for label in (1, 2):
        expected, count = ndimage.label((labels == label).T, EVERY_NEIGHBOUR)
        ours = np.flatnonzero(found.labels == label)
        sizes = np.bincount(expected.ravel(), minlength=count + 1)[1:]
        assert found.sizes[ours].tolist() == sizes.tolist()
        boxes = [box[::-1] for box in ndimage.find_objects(expected)]
        assert [found.boxes()[number] for number in ours] == boxes


@pytest.mark.parametrize("seed", range(40))
def test_what_is_cleaned_is_what_scipy_cleans(seed):
    labels = noise(seed)
    cleaned, expected = labels.copy("K"), labels.copy()
    clean_labels(cleaned, keep_largest=[1], fill_holes=[2])
    parts, count = ndimage.label((labels == 1).T, EVERY_NEIGHBOUR)
    if count:
        largest = 1 + np.bincount(parts.ravel())[1:].argmax()
        expected[(labels == 1) & (~(parts == largest)).T] = 0
    holes, count = ndimage.label(ndimage.binary_fill_holes(expected == 2) & (expected != 2))
    for number in range(1, count + 1):
        if not expected[holes == number].any():
            expected[holes == number] = 2
    assert np.array_equal(cleaned, expected)


# --- the rules, one by one: before, what is asked for, after

CUBE, OTHER = (0, 0, 0), (5, 5, 4)
TIED = blocks(CUBE, OTHER)
BIGGER = blocks(CUBE) + blocks(OTHER, size=3)
TWO_LABELS = BIGGER + blocks((5, 0, 0), value=2) + blocks((0, 5, 0), size=3, value=2)
WITH_TUMOUR = shell() + blocks((3, 3, 3), size=1, shape=(7, 7, 7), value=2)
OPEN = shell()[:, :, 2:]
TOUCHING = blocks((0, 0, 0), (2, 2, 2))
LEAKY = shell()
LEAKY[1, 3, 3] = 0

RULES = {
    "the largest stays": (BIGGER, {"keep_largest": [1]}, blocks(OTHER, size=3)),
    "of equal ones the first": (TIED, {"keep_largest": [1]}, blocks(CUBE)),
    "a piece that is nearly as large stays": (
        BIGGER,  # 8 voxels of 27
        {"keep_largest": [1], "keep_pieces_from": 8 / 27},
        BIGGER,
    ),
    "with 1 only the first of equal ones": (
        TIED,
        {"keep_largest": [1], "keep_pieces_from": 1.0},
        blocks(CUBE),
    ),
    "a smaller piece does not": (
        BIGGER,
        {"keep_largest": [1], "keep_pieces_from": 0.3},
        blocks(OTHER, size=3),
    ),
    "pieces of other labels do not count": (
        TWO_LABELS,
        {"keep_largest": [2], "keep_pieces_from": 0.3},
        BIGGER + blocks((0, 5, 0), size=3, value=2),
    ),
    "without the largest the fraction says nothing": (BIGGER, {"keep_pieces_from": 0.9}, BIGGER),
    "a corner connects": (TOUCHING, {"keep_largest": [1]}, TOUCHING),
    "only the labels that are named": (
        TWO_LABELS,
        {"keep_largest": [2]},
        BIGGER + blocks((0, 5, 0), size=3, value=2),
    ),
    "a label that is not there": (
        BIGGER,
        {"keep_largest": [3], "fill_holes": [3], "keep_pieces_from": 0.3},
        BIGGER,
    ),
    "nothing": (np.zeros((3, 4, 5), np.uint8), {"keep_largest": [1], "fill_holes": [1]}, 0),
    "a hole is filled": (shell(), {"fill_holes": [1]}, blocks((1, 1, 1), size=5, shape=(7, 7, 7))),
    "a hole of another label is not": (shell(2), {"fill_holes": [1]}, shell(2)),
    "a hole that holds another label is not": (WITH_TUMOUR, {"fill_holes": [1]}, WITH_TUMOUR),
    "what is open to a face is no hole": (OPEN, {"fill_holes": [1]}, OPEN),
    "what is open through a voxel is no hole": (LEAKY, {"fill_holes": [1]}, LEAKY),
}


@pytest.mark.parametrize(("labels", "asked", "expected"), RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("order", "CF")
def test_rule(labels, asked, expected, order):
    cleaned = labels.copy(order)
    clean_labels(cleaned, **asked)
    assert np.array_equal(cleaned, np.broadcast_to(expected, labels.shape))


def test_specks_far_apart_take_no_memory_for_what_lies_between():
    tracemalloc = pytest.importorskip("tracemalloc")
    labels = np.zeros((400, 400, 200), np.uint8, order="F")
    labels[100:150, 100:150, 100:130] = 1
    labels[0, 0, 0] = labels[-1, -1, -1] = 1
    tracemalloc.start()
    clean_labels(labels, keep_largest=[1], fill_holes=[1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert labels.sum() == 50 * 50 * 30
    assert peak < labels.size / 4


def test_labels_above_255_are_told_apart():
    labels = blocks(CUBE, OTHER).astype(np.uint16) * 256
    labels[4, 4, 3] = 1  # would join both, if it were one of them
    labels[2, 2, 2] = labels[3, 3, 3] = 256
    assert find_components(labels).labels.tolist() == [256, 1, 256]
