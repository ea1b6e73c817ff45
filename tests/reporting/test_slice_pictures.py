import numpy as np
import pytest
from matplotlib.colors import to_rgb

from monai_attn.reporting.colours import LABEL_COLOURS, REFERENCE_COLOUR
from monai_attn.reporting.slice_pictures import FIELD, slice_picture

SHAPE = (32, 24)  # right, front
NOTHING = np.zeros(SHAPE, int)
GREY = np.full(SHAPE, 0.5)


def box(x, y, label=1):
    values = NOTHING.copy()
    values[x, y] = label
    return values


def panels(picture):
    width = (picture.shape[1] - 2) // 2 if picture.shape[1] < 500 else (picture.shape[1] - 4) // 3
    return [
        picture[:, start : start + width] for start in range(0, picture.shape[1] - 1, width + 2)
    ]


def where(panel, colour):
    """The range of rows and columns of a colour, in 0..1."""
    found = (np.abs(panel.astype(int) - np.array(to_rgb(colour)) * 255) < 2).all(axis=-1)
    return [
        (at.min() / size, (at.max() + 1) / size)
        for at, size in zip(np.nonzero(found), found.shape, strict=True)
    ]


def test_display_is_radiological():
    image = np.zeros(SHAPE)
    image[28:, 20:] = 1  # right, front
    plain, _ = panels(slice_picture(image, NOTHING, NOTHING))
    (top, bottom), (left, right) = where(plain, "white")
    assert (top, left) == (0, 0)
    assert (bottom, right) == pytest.approx((4 / 24, 4 / 32), abs=0.01)


def test_the_reference_is_outlined_outside_and_labels_inside():
    part = box(slice(8, 16), slice(8, 16))
    plain, outlined = panels(slice_picture(GREY, part, part))
    assert (plain == plain[0, 0]).all()
    reference, labels = where(outlined, REFERENCE_COLOUR), where(outlined, LABEL_COLOURS[0])
    for (low, high), (inner_low, inner_high) in zip(reference, labels, strict=True):
        assert low < inner_low < inner_high < high
    assert labels[1] == pytest.approx((16 / 32, 24 / 32), abs=0.01)


def test_attention_has_colour_only_where_a_window_ran():
    attention = np.ones(SHAPE)
    attention[16:] = np.nan  # the patient's right
    *_, last = panels(slice_picture(GREY, NOTHING, NOTHING, attention))
    half = last.shape[1] // 2
    assert (last[:, :half].std(axis=-1) == 0).all()
    assert (last[:, half:].std(axis=-1) > 10).all()


def test_proportions_are_those_in_mm():
    assert slice_picture(GREY, NOTHING, NOTHING).shape == (144, 2 * 192 + 2, 3)
    assert slice_picture(GREY, NOTHING, NOTHING, spacing=(1.0, 2.0)).shape == (192, 2 * 128 + 2, 3)


def test_a_large_slice_is_cut_to_what_is_marked():
    reference = np.zeros((512, 512), int)
    reference[480:500, 10:20] = 3
    image = np.zeros(reference.shape)
    image[reference > 0] = 1
    plain, _ = panels(slice_picture(image, reference, 0 * reference))
    (top, bottom), (left, right) = where(plain, "white")
    assert right - left == pytest.approx(20 / FIELD, abs=0.02)
    assert bottom == pytest.approx(1 - 10 / FIELD, abs=0.02)
    assert left == pytest.approx(12 / FIELD, abs=0.02)
    assert bottom - top == pytest.approx(10 / FIELD, abs=0.02)
