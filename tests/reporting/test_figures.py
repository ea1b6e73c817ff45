import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from drawn_figures import (
    AFFINE,
    ORGAN,
    PANELS,
    SHAPE,
    SPACING,
    box,
    draw,
    grey,
    near,
    panel,
    panel_pixels,
    pixels,
    texts,
    words,
)
from monai_attn.reporting.figures import BACKGROUND, case_figure, save_figure


def brightest(figure, name):
    """Where the bright pixels of a panel lie, as (left to right, top to bottom) in 0..1."""
    bright = panel_pixels(figure, name).min(axis=-1) > 150
    rows, columns = np.nonzero(bright)
    return columns.mean() / bright.shape[1], rows.mean() / bright.shape[0]


# panel, the letters at the left, right, top and bottom edge
LETTERS = [("axial", "RLAP"), ("coronal", "RLSI"), ("sagittal", "APSI")]


@pytest.mark.parametrize(("name", "letters"), LETTERS)
def test_letters_name_the_edges(drawn_organ, name, letters):
    places = {
        text.get_text(): text.get_position()
        for text in panel(drawn_organ, name).texts
        if len(text.get_text()) == 1
    }
    left, right, top, bottom = (places[letter] for letter in letters)
    assert left[0] < 0.1 < 0.9 < right[0]
    assert bottom[1] < 0.1 < 0.9 < top[1]


# the end of the patient that is bright, and where each panel shows it: left/right, top/bottom
ENDS = [
    ("R", np.s_[9:, :, :], {"axial": "left", "coronal": "left"}),
    ("A", np.s_[:, 8:, :], {"axial": "top", "sagittal": "left"}),
    ("S", np.s_[:, :, 6:], {"coronal": "top", "sagittal": "top"}),
]


@pytest.mark.parametrize(("end", "where", "sides"), ENDS)
def test_display_is_radiological(end, where, sides):
    image = grey()
    image[where] = 1000
    figure = draw(image)
    for name, side in sides.items():
        x, y = brightest(figure, name)
        assert {"left": x, "top": y}[side] < 0.3
        assert {"left": y, "top": x}[side] == pytest.approx(0.5, abs=0.05)


# the orientation on disk, degrees that the whole grid is turned about the long axis
ORIENTATIONS = [("LPS", 0), ("LAS", 20), ("SRA", 0), ("PIR", 20), ("ILP", 0)]


@pytest.mark.parametrize(("codes", "tilt"), ORIENTATIONS)
def test_the_stored_orientation_changes_no_pixel(codes, tilt):
    image = np.random.default_rng(0).uniform(-200, 300, SHAPE)
    angle = np.deg2rad(tilt)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = rotation @ AFFINE
    reference = np.roll(ORGAN, 1, axis=0)
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    stored = draw(
        apply_orientation(image, turn),
        apply_orientation(ORGAN, turn),
        affine @ inv_ornt_aff(turn, SHAPE),
        reference=apply_orientation(reference, turn),
    )
    expected = draw(image, ORGAN, affine, reference=reference)
    np.testing.assert_array_equal(pixels(stored), pixels(expected))


@pytest.mark.parametrize(("tilt", "said"), [(0, False), (0.5, False), (20, True)])
def test_an_oblique_grid_is_said_to_be_one(tilt, said):
    angle = np.deg2rad(tilt)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    shown = words(draw(affine=rotation @ AFFINE))
    assert ("oblique" in shown) is ("up to 20° oblique" in shown) is said


def test_images_are_shown_within_the_window():
    for value, expected in ((-150, 0), (50, 128), (250, 255), (3000, 255)):
        rgb = panel_pixels(draw(grey(value)), "axial")
        assert np.median(rgb) == pytest.approx(expected, abs=2)
    assert np.median(panel_pixels(draw(grey(50), window=(0, 500)), "axial")) < 30


# labels, reference, the voxel that the planes meet in
CENTRES = {
    "one organ": (ORGAN, None, (8, 6, 3)),
    "largest axial area": (ORGAN + box(slice(7, 10), slice(5, 6), 6), None, (8, 6, 3)),
    "wider above": (ORGAN + box(slice(2, 12), slice(6, 7), 7), None, (6, 6, 7)),
    "two parts": (box(slice(0, 3), 2, 2) + box(slice(9, 12), 2, 2), None, (2, 2, 2)),
    "reference alone": (ORGAN * 0, ORGAN, (8, 6, 3)),
    "labels before reference": (ORGAN, box(0, 0, 0), (8, 6, 3)),
    "nothing": (ORGAN * 0, None, (6, 5, 4)),
    "nothing in both": (ORGAN * 0, ORGAN * 0, (6, 5, 4)),
}


@pytest.mark.parametrize("row", CENTRES.values(), ids=CENTRES.keys())
def test_planes_meet_in_the_labels(row):
    labels, reference, (x, y, z) = row
    image = np.random.default_rng(0).normal(size=SHAPE)
    figure = case_figure(image, labels, AFFINE, reference=reference)
    for name, expected in zip(PANELS, (image[:, :, z], image[:, y], image[x]), strict=True):
        np.testing.assert_array_equal(panel(figure, name).images[0].get_array(), expected.T)
    # ticks show the cuts, captions their place in the patient
    cuts = [*panel(figure, "axial").get_xticks(), *panel(figure, "coronal").get_yticks()]
    assert cuts == [x * SPACING[0], z * SPACING[2]]
    place = 4 * x - 100
    assert f"sagittal  {'R' if place >= 0 else 'L'} {abs(place)} mm" in texts(figure)


def test_one_scale_in_all_panels(drawn_organ):
    for axes, (across, up) in zip(drawn_organ.axes, ((0, 1), (0, 2), (1, 2)), strict=True):
        size = axes.get_window_extent()
        mm = [SHAPE[axis] * SPACING[axis] for axis in (across, up)]
        per_mm = drawn_organ.axes[0].get_window_extent().width / (SHAPE[0] * SPACING[0])
        assert [size.width, size.height] == pytest.approx([mm[0] * per_mm, mm[1] * per_mm])


# spacing in mm, the length of the scale bar
BARS = [(10, 50), (SPACING[0], 20), (1, 5), (0.01, None)]


@pytest.mark.parametrize(("size", "length"), BARS)
def test_scale_bar_is_as_long_as_it_says(size, length):
    figure = case_figure(grey(), ORGAN, np.diag([size, size, size, 1]))
    axes = panel(figure, "axial")
    bars = [line for line in axes.lines if line.get_gid() == "scale bar"]
    assert len(bars) == (length is not None)
    for bar in bars:
        assert np.ptp(bar.get_xdata()) * SHAPE[0] * size == pytest.approx(length)
        assert f"{length} mm" in [text.get_text() for text in axes.texts]


# voxel size along z and slices, the axial slices labelled, the range drawn in mm
FIELDS = [
    (2, 20, (5, 6), (-1, 39)),  # small: whole
    (40, 20, (10, 11), (260, 540)),  # long: 280 mm around the labels
    (40, 20, (1, 2), (-20, 260)),  # no further than the volume
    (40, 20, (2, 16), (60, 620)),  # every label, with a margin
]


@pytest.mark.parametrize(("size", "slices", "labelled", "drawn"), FIELDS)
def test_long_scans_are_cut_around_the_labels(size, slices, labelled, drawn):
    image, labels = np.zeros((4, 4, slices)), np.zeros((4, 4, slices), np.uint8)
    labels[1:3, 1:3, slice(*labelled)] = 1
    labels[:, :, (labelled[0] + labelled[1]) // 2] = 1
    figure = case_figure(image, labels, np.diag([size, size, size, 1]))
    assert panel(figure, "coronal").get_ylim() == pytest.approx(drawn)


@pytest.mark.parametrize("shape", [(1, 1, 1), (40, 40, 2), (40, 1, 2), (3, 2, 60)])
def test_any_shape_fits_a_screen(shape):
    figure = draw(np.zeros(shape), np.ones(shape, np.uint8), np.diag([5, 5, 5, 1]))
    assert figure.get_figwidth() == 15
    assert 3 < figure.get_figheight() < 9


def test_attention_is_drawn_over_the_same_planes_in_a_second_row():
    attention = np.full(SHAPE, np.nan)
    attention[:6] = 1  # the left half of each panel, but the sagittal one, shows the patient's left
    image = grey(50.0)
    figure = draw(image, attention=attention, labels=box(slice(2, 5), slice(5, 8), slice(3, 6)))
    assert "attention (no colour: no window ran)   0" in texts(figure)
    for name in ("axial", "coronal"):
        assert panel(figure, name).get_ylim() == panel(figure, f"{name} attention").get_ylim()
        yellow = near(panel_pixels(figure, f"{name} attention"), "#fde725")
        columns = np.nonzero(yellow)[1]
        assert columns.min() / yellow.shape[1] == pytest.approx(0.5, abs=0.05)
        assert not near(panel_pixels(figure, name), "#fde725").any()
    assert near(panel_pixels(figure, "sagittal attention"), "#fde725").mean() > 0.5


# title given, title shown
TITLES = [
    (r"no $\math$ here", r"no $\math$ here"),
    ("two\nlines", "two lines"),
    ("a" * 50 + "b" * 50, "a" * 34 + "…" + "b" * 35),
]


@pytest.mark.parametrize(("given", "shown"), TITLES)
def test_titles_fit_their_line(given, shown):
    assert f"{shown}   ·   3.2 ml" in texts(draw(title=given))


# arguments that break a rule, the message
BAD_INPUTS = [
    ({"image": np.zeros((4, 4))}, "image: shape (4, 4); (X, Y, Z) expected: pick one volume"),
    ({"image": np.zeros((4, 0, 4))}, "image: shape (4, 0, 4); (X, Y, Z) expected"),
    ({"image": grey() * 1j}, "image: dtype complex64; real numbers in HU expected: pick one"),
    (
        {"labels": np.zeros((4, 4, 4), int)},
        "labels: shape (4, 4, 4); the image's (12, 10, 8) expected: resample to its grid",
    ),
    ({"labels": np.zeros(SHAPE)}, "labels: dtype float64; integers expected: cast first"),
    ({"reference": np.zeros((4, 4, 4), int)}, "reference: shape (4, 4, 4); the image's (12"),
    ({"reference": np.zeros(SHAPE)}, "reference: dtype float64; integers expected"),
    ({"affine": np.eye(3)}, "affine: shape (3, 3); (4, 4) expected: give the matrix from voxel"),
    ({"affine": np.diag([1, 1, 0, 1])}, "a finite, invertible matrix expected: repair the header"),
    ({"affine": np.eye(4) * np.nan}, "a finite, invertible matrix expected: repair the header"),
    ({"attention": np.zeros((4, 4, 4))}, "attention: shape (4, 4, 4); the image's (12, 10, 8)"),
    (
        {"attention": np.full(SHAPE, -1 / 254)},
        "attention: values from -0.00393701 to 0; 0 to 1 expected, and NaN where no window ran",
    ),
    ({"window": (250, -150)}, "window: (250, -150); (low, high) in HU expected: give the lower"),
    ({"window": (0, np.inf)}, "window: (0, inf); (low, high) in HU expected"),
]


@pytest.mark.parametrize(("changed", "message"), BAD_INPUTS)
def test_inputs_that_cannot_be_drawn(changed, message):
    arguments = {"image": grey(), "labels": ORGAN, "affine": AFFINE} | changed
    with pytest.raises(ValueError, match=r".") as raised:
        case_figure(**arguments)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_drawing_leaves_its_inputs_alone():
    arrays = [grey(), ORGAN.copy(), AFFINE.copy()]
    for array in arrays:
        array.flags.writeable = False
    draw(*arrays)


def test_saved_png_shows_the_figure(drawn_organ, tmp_path):
    path = save_figure(drawn_organ, str(tmp_path / "new" / "case.png"))
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes().startswith(b"\x89PNG")
    again = save_figure(drawn_organ, tmp_path / "again.png")
    assert again.read_bytes() == path.read_bytes()
    assert b"Software" not in path.read_bytes()


def test_saved_png_keeps_the_dark_background(tmp_path):
    saved = imread(save_figure(Figure(figsize=(1, 1), facecolor=BACKGROUND), tmp_path / "a.png"))
    assert saved[0, 0, :3] == pytest.approx(to_rgb(BACKGROUND), abs=0.01)


def test_png_is_the_only_format(tmp_path):
    with pytest.raises(ValueError, match=r"case\.jpg: suffix '\.jpg'; '\.png' expected: rename"):
        save_figure(Figure(), tmp_path / "case.jpg")


def test_a_failed_save_leaves_the_old_picture(drawn_organ, tmp_path, monkeypatch):
    path = tmp_path / "case.png"
    path.write_text("old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_figure(drawn_organ, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
