"""NIH's Pancreas-CT as it is downloaded: its scans, its label maps, and what may be missing."""

import warnings

import pytest

from dicoms import series
from monai_attn.datasets.cases import find_cases, find_images
from monai_attn.datasets.folder_layouts import layout_name
from monai_attn.io.errors import ScanWarning
from scans import faults, touch


def patients(root, *numbers):
    for number in numbers:
        folder = root / f"PANCREAS_{number}" / "1.2.3" / "1.2.4"
        folder.mkdir(parents=True)
        series(folder)


# the patients' folder, the labels' folder, and what is given
PLACES = {
    "beside Pancreas-CT": ("Pancreas-CT", "TCIA_pancreas_labels-02-05-2017", ""),
    "given Pancreas-CT": ("Pancreas-CT", "TCIA_pancreas_labels-02-05-2017", "Pancreas-CT"),
    "below Pancreas-CT": ("Pancreas-CT", "Pancreas-CT/labels", "Pancreas-CT"),
    "of another name": (".", "labels", ""),
}


@pytest.mark.parametrize(("scans", "labels", "given"), PLACES.values(), ids=PLACES)
def test_scans_and_label_maps_are_paired_by_number(tmp_path, scans, labels, given):
    patients(tmp_path / scans, "0001", "0002")
    touch(tmp_path / labels, "label0002.nii.gz", "label0001.nii.gz", "._label0001.nii.gz")
    source = tmp_path / given
    images = [str(tmp_path / scans / f"PANCREAS_000{n}" / "1.2.3" / "1.2.4") for n in (1, 2)]
    assert find_cases(source) == [
        {"image": image, "label": str(tmp_path / labels / f"label000{n}.nii.gz")}
        for n, image in enumerate(images, 1)
    ]
    assert find_images(source) == images
    assert layout_name(source) == "NIH Pancreas-CT, DICOM series and label maps"


def test_what_has_no_counterpart_is_named(tmp_path):
    patients(tmp_path, "0001", "0002", "0003")
    series(tmp_path / "PANCREAS_0003" / "1.2.5")
    touch(tmp_path / "labels", "label0001.nii.gz", "label0001.nii", "label0004.nii.gz")
    lines = faults(find_cases, tmp_path)
    assert [line.split(" (")[0] for line in lines] == [
        f"{tmp_path}/labels/label0001.nii and {tmp_path}/labels/label0001.nii.gz: both are case 0001",
        f"{tmp_path}/PANCREAS_0002: has no label map",
        f"{tmp_path}/PANCREAS_0003: holds 2 DICOM series",
        f"{tmp_path}/labels/label0004.nii.gz: has no scan",
    ]


def test_labels_of_withdrawn_scans_are_left_out_with_a_warning(tmp_path):
    patients(tmp_path, "0001")
    touch(tmp_path / "labels", "label0001.nii.gz", "label0025.nii.gz", "label0070.nii.gz")
    with pytest.warns(ScanWarning, match=r"label00(25|70).nii.gz: left out") as found:
        assert len(find_cases(tmp_path)) == 1
    assert len(found) == 2
    patients(tmp_path, "0025", "0070")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(find_cases(tmp_path)) == 3
