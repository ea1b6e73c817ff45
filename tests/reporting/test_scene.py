"""Files that open a case in 3D Slicer and ITK-SNAP: their links, where the planes meet, and colours."""

import shutil
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

import dicoms
from monai_attn.datasets.folders import image_files
from monai_attn.io.map_encoding import INTERCEPT
from monai_attn.io.scan import open_scan
from monai_attn.io.writer import write_labels
from monai_attn.reporting.colours import label_colour, rgb_of
from monai_attn.reporting.scene import COLOURS, COPY, SCENE, SLICER, SNAP, scene_of
from monai_attn.runs.extra_files import WrittenCase, write_extra_files
from run_folders import AFFINE, SHAPE, organ, stored_map, write_case

NAMES = {0: "background", 1: "pancreas", 2: "left kidney"}
# stored left to right and head to foot, and turned by 10 degrees
TURNED = np.diag([-1.0, 1, -1, 1]) @ AFFINE
TURNED[:3, :3] = nib.eulerangles.euler2mat(z=np.radians(10)) @ TURNED[:3, :3]


@pytest.fixture
def case(tmp_path):
    return written(tmp_path)


def written(tmp_path, affine=AFFINE, levels=(), name="a 1", **options):
    write_case(tmp_path / "out", name, affine=affine, **options)
    scan = open_scan(tmp_path / "scans" / f"{name}.nii.gz")
    settings = {"intensity_range": [-150.0, 250.0]}
    target = tmp_path / "out" / f"{name}_seg.nii.gz"
    return WrittenCase(scan, target, NAMES, levels, settings)


def scene_tree(case):
    assert write_extra_files(case, SCENE) == ([], [])
    return ElementTree.parse(SLICER.path(case.target)).getroot()


def snap_entries(case):
    """The entries of the workspace by their whole key."""
    assert write_extra_files(case, SCENE) == ([], [])

    def entries(folder, begin):
        for child in folder:
            key = f"{begin}{child.get('key')}"
            if child.tag == "entry":
                yield key, child.get("value")
            else:
                yield from entries(child, f"{key}.")

    return dict(entries(ElementTree.parse(SNAP.path(case.target)).getroot(), ""))


def linked_files(root, folder):
    """The files of a scene, as Slicer resolves them."""
    links = [node.get("fileName") for node in root if node.get("fileName")]
    assert not any(Path(link).is_absolute() for link in links)
    return [(folder / link.replace("%20", " ")).resolve() for link in links]


def test_the_files_lie_next_to_the_label_map_and_are_replaced(case):
    scene_tree(case)
    paths = [extra.path(case.target) for extra in SCENE if extra.needed(case)]
    assert [path.name for path in paths] == ["a 1_labels.ctbl", "a 1.mrml", "a 1.itksnap"]
    for extra in SCENE:
        extra.check_replaceable(case.target)
    SLICER.path(case.target).write_text("<MRML/>")
    with pytest.raises(ValueError, match=r"a 1\.mrml: no scene for 3D Slicer of a run"):
        SLICER.check_replaceable(case.target)


def test_a_scene_refers_to_scan_labels_and_attention_by_relative_paths(tmp_path):
    case = written(tmp_path, levels=(1, 2), attention={1: stored_map(0.5), 2: stored_map(0.25)})
    files = linked_files(scene_tree(case), case.target.parent)
    names = ["a 1_labels.ctbl", "a 1.nii.gz", "a 1_seg.nii.gz", "a 1_attention_1.nii.gz"]
    assert [file.name for file in files] == names
    assert all(file.is_file() for file in files)


def test_every_reference_in_a_scene_leads_to_a_node(tmp_path):
    case = written(tmp_path, levels=(1,), attention={1: stored_map(0.5)})
    root = scene_tree(case)
    ids = [node.get("id") for node in root]
    assert len(set(ids)) == len(ids)
    pairs = [pair for node in root for pair in node.get("references", "").split(";") if pair]
    assert len(pairs) == 3 * 3 + 1 + 3 * 2  # views, colour table, volumes
    assert {pair.partition(":")[2] for pair in pairs} <= set(ids)
    layers = root.find("SliceComposite")
    assert float(layers.get("foregroundOpacity")) == pytest.approx(0.4)


@pytest.mark.parametrize("affine", [AFFINE, TURNED], ids=["straight", "turned and flipped"])
def test_planes_meet_in_a_labelled_voxel(affine, tmp_path):
    """Slicer's places are RAS mm; ITK, which reads the label map, has LPS."""
    case = written(tmp_path, affine)
    image = sitk.ReadImage(str(case.target))
    for view in scene_tree(case).findall("Slice"):
        matrix = np.reshape([float(n) for n in view.get("sliceToRAS").split()], (4, 4))
        right, anterior, superior = matrix[:3, 3]
        index = image.TransformPhysicalPointToIndex((-right, -anterior, superior))
        assert image[index] == 1
        # the patient's right and anterior are at the left; anterior or superior is up
        across, up = {"Axial": (0, 1), "Coronal": (0, 2), "Sagittal": (1, 2)}[
            view.get("orientation")
        ]
        assert (matrix[across, 0], matrix[up, 1]) == (-1, 1)


def test_colours_and_names_are_those_of_the_report(case):
    root = scene_tree(case)
    lines = COLOURS.path(case.target).read_text().splitlines()
    assert lines[1:] == [
        "0 background 0 0 0 0",
        "1 pancreas 255 165 31 255",
        "2 left_kidney 18 196 139 255",
    ]
    table = root.find("ColorTable").get("id")
    assert root.find("LabelMapVolumeDisplay").get("colorNodeID") == table
    snap = snap_entries(case)
    start = "Layers.Layer[000].ProjectMetaData.IRIS.LabelTable."
    assert snap[f"{start}NumberOfElements"] == "2"
    for i, label in enumerate((1, 2)):
        assert snap[f"{start}Element[{i}].Index"] == str(label)
        assert snap[f"{start}Element[{i}].Label"] == NAMES[label]
        colour = rgb_of(label_colour(label))
        assert snap[f"{start}Element[{i}].Color"] == " ".join(map(str, colour))


def test_the_window_is_the_bundles(case):
    display = scene_tree(case).find("VolumeDisplay")
    assert (display.get("window"), display.get("level")) == ("400", "50")
    snap = snap_entries(case)
    low, high = case.volume.data.min(), case.volume.data.max()
    start = "Layers.Layer[000].LayerMetaData.DisplayMapping.Curve."
    ends = [float(snap[f"{start}ControlPoint[{i}].tValue"]) for i in (0, 2)]
    assert [low + end * (high - low) for end in ends] == pytest.approx([-150, 250], abs=0.01)


def test_a_workspace_has_scan_labels_and_attention_as_layers(tmp_path):
    unseen = (np.indices(SHAPE)[0] < 2).nonzero()
    case = written(tmp_path, levels=(1,), attention={1: stored_map(0.5, unseen=unseen)})
    snap = snap_entries(case)
    layers = [f"Layers.Layer[{i:03d}]." for i in range(3)]
    roles = ["MainRole", "SegmentationRole", "OverlayRole"]
    assert [snap[f"{layer}Role"] for layer in layers] == roles
    assert all(Path(snap[f"{layer}AbsolutePath"]).is_file() for layer in layers)
    assert snap["SaveLocation"] == str(case.target.parent)
    assert snap["Layers.Layer[000].ProjectMetaData.Files.Grey.Dimensions"] == "12 10 8"
    mapping = "Layers.Layer[002].LayerMetaData.DisplayMapping."
    zero, one = (
        float(snap[f"{mapping}Curve.ControlPoint[{i}].tValue"]) * (0.5 - INTERCEPT) + INTERCEPT
        for i in (0, 2)
    )
    assert (zero, one) == pytest.approx((0, 1), abs=1e-3)
    # nothing is drawn below 0, where no window ran
    first = f"{mapping}ColorMap.ControlPoint[0000]."
    assert (snap[f"{first}Left.A"], snap[f"{first}Right.A"]) == ("0", "255")


def test_without_attention_nothing_lies_over_the_scan(case):
    root = scene_tree(case)
    assert all(
        "foreground" not in node.get("references") for node in root.findall("SliceComposite")
    )
    assert "Layers.Layer[002].Role" not in snap_entries(case)


def test_a_scan_that_both_programs_read_is_not_copied(case):
    assert scene_of(case).image == case.scan.path
    assert not COPY.needed(case)


def test_a_dicom_series_is_copied_to_nifti_on_the_grid_of_its_labels(tmp_path):
    dicoms.series(tmp_path / "series")
    scan = open_scan(tmp_path / "series")
    target = tmp_path / "out" / "b_seg.nii.gz"
    target.parent.mkdir()
    write_case(tmp_path / "out", "b")  # for a manifest
    write_labels(target, organ(scan.grid.shape), scan.grid)
    case = WrittenCase(scan, target, NAMES)
    root = scene_tree(case)
    copy = COPY.path(target)
    assert linked_files(root, target.parent)[1] == copy.resolve()
    image = nib.load(copy)
    np.testing.assert_array_equal(image.get_fdata(), scan.read().data)
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(image.affine, nib.load(target).affine)
    COPY.check_replaceable(target)
    assert image_files(sorted(target.parent.iterdir())) == []  # it is no scan to segment


def test_a_file_that_a_user_made_is_not_replaced_by_a_copy(case):
    shutil.copy(case.scan.path, COPY.path(case.target))
    with pytest.raises(ValueError, match="no copy of the scan of a run"):
        COPY.check_replaceable(case.target)


def test_one_volume_of_several_is_copied(tmp_path):
    case = written(tmp_path)
    several = np.stack([np.zeros(SHAPE), case.volume.data], -1).astype(np.float32)
    nib.Nifti1Image(several, AFFINE).to_filename(tmp_path / "four.nii.gz")
    scan = open_scan(tmp_path / "four.nii.gz", volume=1)
    case = WrittenCase(scan, case.target, NAMES)
    scene_tree(case)
    np.testing.assert_array_equal(nib.load(COPY.path(case.target)).get_fdata(), case.volume.data)


def test_values_that_are_no_hu_are_shown_from_their_darkest_to_their_brightest(tmp_path):
    case = written(tmp_path)
    case = WrittenCase(case.scan, case.target, NAMES, settings={"channels": ["T1"]})
    low, high = scene_of(case).window
    assert case.volume.data.min() <= low < high <= case.volume.data.max()
