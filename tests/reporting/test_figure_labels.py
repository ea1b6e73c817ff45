"""Labels in figures: contours, colours, legend and title."""

import re

import numpy as np
import pytest

from drawn_figures import (
    ORGAN,
    PANELS,
    SHAPE,
    box,
    draw,
    near,
    panel_pixels,
    texts,
    words,
)
from monai_attn.reporting.colours import LABEL_COLOURS, REFERENCE_COLOUR


@pytest.mark.parametrize("label", [1, 2, 7])
def test_contour_colour_is_where_the_label_is(label):
    colour = LABEL_COLOURS[(label - 1) % len(LABEL_COLOURS)]
    figure = draw(labels=ORGAN * label)
    for name, across, up in zip(PANELS, (0, 0, 1), (1, 2, 2), strict=True):
        coloured = near(panel_pixels(figure, name), colour)
        rows, columns = np.nonzero(coloured)
        # the organ's edges in voxels from the left and from the top, as fractions of the panel
        occupied = ((7, 10), (5, 8), (3, 6))
        for found, axis in ((columns, across), (rows, up)):
            start, stop = (1 - edge / SHAPE[axis] for edge in occupied[axis][::-1])
            size = coloured.shape[1] if axis == across else coloured.shape[0]
            assert found.min() / size == pytest.approx(start, abs=0.05)
            assert found.max() / size == pytest.approx(stop, abs=0.05)


def test_no_contour_without_a_label():
    figure = draw(labels=box(0, 0, slice(0, 0)))
    for name in PANELS:
        rgb = panel_pixels(figure, name)
        assert not any(near(rgb, colour).any() for colour in (*LABEL_COLOURS, REFERENCE_COLOUR))
    assert "no label" in words(figure)


def test_contour_closes_at_the_edge_of_the_volume():
    figure = draw(labels=np.ones(SHAPE, np.uint8), dpi=128)
    for name in PANELS:
        coloured = near(panel_pixels(figure, name), LABEL_COLOURS[0])
        assert all(edge.mean() > 0.7 for edge in edges(coloured))


def edges(mask):
    return [mask[:3].any(0), mask[-3:].any(0), mask[:, :3].any(1), mask[:, -3:].any(1)]


def test_each_label_has_its_own_colour():
    two = ORGAN + box(slice(2, 5), slice(5, 8), slice(3, 6), label=2)
    rgb = panel_pixels(draw(labels=two), "axial")
    left, right = np.array_split(rgb, 2, axis=1)  # label 1 lies on the patient's right
    assert near(left, LABEL_COLOURS[0]).any()
    assert not near(right, LABEL_COLOURS[0]).any()
    assert near(right, LABEL_COLOURS[1]).any()


def test_reference_is_dashed_in_its_own_colour():
    same = draw(reference=ORGAN)
    rgb = panel_pixels(same, "axial")
    dashes, gaps = near(rgb, REFERENCE_COLOUR), near(rgb, LABEL_COLOURS[0])
    assert dashes.any()
    assert gaps.any()  # of the label's solid line below


def test_labels_have_their_names_in_the_legend():
    assert any(text.startswith("pancreas: ") for text in texts(draw(names={1: "pancreas"})))
    assert any(text.startswith("label 1: ") for text in texts(draw()))


def test_volumes_follow_the_voxel_size(drawn_organ):
    assert "case 7   ·   3.2 ml" in texts(drawn_organ)  # 27 voxels of 0.12 ml
    assert "label 1: 3.2 ml" in texts(drawn_organ)
    assert re.search(r"voxels 4\.00 . 5\.00 . 6\.00 mm", words(drawn_organ))
    assert "W 400  L 50 HU" in words(drawn_organ)


def test_title_sums_labels_and_names_the_reference():
    labels = ORGAN + box(0, 0, slice(0, 2), label=2)
    figure = draw(labels=labels, reference=box(0, 0, slice(0, 5)))
    assert "2 labels, 3.5 ml   ·   reference 0.6 ml" in texts(figure)
    assert {"label 1: 3.2 ml", "label 2: 0.2 ml", "reference"} <= set(texts(figure))


def test_legend_keeps_to_the_largest_labels():
    labels = np.zeros(SHAPE, np.uint8)
    for label in range(1, 8):
        labels[: label + 1, label] = label
    entries = [text for text in texts(draw(labels=labels)) if text.startswith(("label", "and"))]
    assert [entry.split(":")[0] for entry in entries] == [
        *(f"label {label}" for label in range(4, 8)),
        "and 3 smaller",
    ]
