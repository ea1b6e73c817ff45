"""Figures of a box in a grey volume, drawn as pixels."""

import nibabel as nib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from monai_attn.reporting.figures import case_figure

SHAPE = (12, 10, 8)  # right, anterior, superior


SPACING = (4.0, 5.0, 6.0)


AFFINE = nib.affines.from_matvec(np.diag(SPACING), (-100, 20, -50))


PANELS = ("axial", "coronal", "sagittal")


def grey(value=-1000.0):
    return np.full(SHAPE, value, np.float32)


def box(*slices, label=1):
    labels = np.zeros(SHAPE, np.uint8)
    labels[slices] = label
    return labels


ORGAN = box(slice(7, 10), slice(5, 8), slice(3, 6))  # right of, in front of and above the middle


def draw(image=None, labels=ORGAN, affine=AFFINE, *, dpi=40, **options):
    figure = case_figure(grey() if image is None else image, labels, affine, **options)
    figure.set_dpi(dpi)  # 40 is a tenth of the pixels
    figure.canvas.draw()
    return figure


def pixels(figure):
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def panel_pixels(figure, name):
    rgb = pixels(figure)
    bounds = panel(figure, name).get_window_extent()
    top, bottom = len(rgb) - round(bounds.y1), len(rgb) - round(bounds.y0)
    return rgb[top:bottom, round(bounds.x0) : round(bounds.x1)]


def panel(figure, name):
    return next(axes for axes in figure.axes if axes.get_label() == name)


def near(rgb, colour):
    """Pixels of one hue, however thin the line: what is left when their grey part is taken away."""
    hue = np.array(to_rgb(colour)) - min(to_rgb(colour))
    vivid = rgb - rgb.min(axis=-1, keepdims=True)
    length = np.linalg.norm(vivid, axis=-1)
    return (length > 40) & (vivid @ hue > 0.985 * length * np.linalg.norm(hue))


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def words(figure):
    return " ".join(texts(figure))
