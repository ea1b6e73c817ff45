"""Data sets as they are published: what is found in them, and the name of their layout."""

import pytest

from monai_attn.datasets.cases import find_cases, find_images
from monai_attn.datasets.folder_layouts import layout_name
from monai_attn.datasets.label_classes import declared_labels
from monai_attn.datasets.splits import choose_split
from scans import NNUNET, datalist, touch

TASK07 = {
    "name": "Pancreas",
    "modality": {"0": "CT"},
    "labels": {"0": "background", "1": "pancreas", "2": "cancer"},
    "numTraining": 2,
    "training": [
        {"image": f"./imagesTr/pancreas_{n}.nii.gz", "label": f"./labelsTr/pancreas_{n}.nii.gz"}
        for n in ("001", "004")
    ],
    "test": ["./imagesTs/pancreas_002.nii.gz"],
}
AMOS = {
    "name": "AMOS",
    "labels": {"0": "background", "1": "spleen", "10": "pancreas"},
    "training": [
        {"image": f"./imagesTr/amos_000{n}.nii.gz", "label": f"./labelsTr/amos_000{n}.nii.gz"}
        for n in (1, 4)
    ],
    "validation": [
        {"image": "./imagesVa/amos_0008.nii.gz", "label": "./labelsVa/amos_0008.nii.gz"}
    ],
    "test": [{"image": "./imagesTs/amos_0002.nii.gz"}],
}
# the files, dataset.json or None, pairs of image and label, the name of the layout
DATA_SETS = {
    "MSD Task07": (
        [
            f"{f}/{d}pancreas_{n}.nii.gz"
            for f in ("imagesTr", "labelsTr")
            for n in ("001", "004")
            for d in ("", "._")
        ],
        TASK07,
        [
            (f"imagesTr/pancreas_{n}.nii.gz", f"labelsTr/pancreas_{n}.nii.gz")
            for n in ("001", "004")
        ],
        "cases listed in dataset.json, as of the Decathlon",
    ),
    "AMOS22": (
        [f"{f}/amos_000{n}.nii.gz" for f in ("imagesTr", "labelsTr") for n in (1, 4)]
        + [f"{f}/amos_0008.nii.gz" for f in ("imagesVa", "labelsVa")],
        AMOS,
        [(f"imagesTr/amos_000{n}.nii.gz", f"labelsTr/amos_000{n}.nii.gz") for n in (1, 4)],
        "AMOS22, cases listed in dataset.json",
    ),
    "BTCV": (
        [
            "img/img0001.nii.gz",
            "img/img0002.nii.gz",
            "label/label0001.nii.gz",
            "label/label0002.nii.gz",
        ],
        None,
        [(f"img/img000{n}.nii.gz", f"label/label000{n}.nii.gz") for n in (1, 2)],
        "BTCV, img and label",
    ),
    "BTCV, averaged": (
        [
            "averaged-training-images/DET0000101_avg.nii.gz",
            "averaged-training-labels/DET0000101_avg_seg.nii.gz",
        ],
        None,
        [
            (
                "averaged-training-images/DET0000101_avg.nii.gz",
                "averaged-training-labels/DET0000101_avg_seg.nii.gz",
            )
        ],
        "BTCV, averaged training images",
    ),
    "FLARE22": (
        ["images/FLARE22_Tr_0001_0000.nii.gz", "labels/FLARE22_Tr_0001.nii.gz"],
        None,
        [("images/FLARE22_Tr_0001_0000.nii.gz", "labels/FLARE22_Tr_0001.nii.gz")],
        "FLARE22, folders images and labels",
    ),
    "nnU-Net": (
        ["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"],
        NNUNET,
        [("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")],
        "nnU-Net raw",
    ),
}


@pytest.mark.parametrize(("files", "content", "pairs", "name"), DATA_SETS.values(), ids=DATA_SETS)
def test_a_data_set_is_read_as_it_comes(tmp_path, files, content, pairs, name):
    touch(tmp_path, *files)
    if content:
        datalist(tmp_path, content)
    expected = [
        {key: f"{tmp_path}/{file}" for key, file in zip(("image", "label"), pair, strict=True)}
        for pair in pairs
    ]
    assert find_cases(tmp_path) == expected
    assert layout_name(tmp_path) == name


def test_the_scans_of_btcv_are_found_to_segment(tmp_path):
    touch(tmp_path, "img/img0001.nii.gz", "label/label0001.nii.gz")
    assert find_images(tmp_path) == [f"{tmp_path}/img/img0001.nii.gz"]


def test_the_labels_of_task07_have_their_names(tmp_path):
    datalist(tmp_path, TASK07)
    assert declared_labels(tmp_path) == {0: "background", 1: "pancreas", 2: "cancer"}


def test_amos_comes_with_validation_cases(tmp_path):
    touch(tmp_path, *DATA_SETS["AMOS22"][0])
    datalist(tmp_path, AMOS)
    split = choose_split(tmp_path)
    assert [len(split[part]) for part in ("training", "validation")] == [2, 1]


def test_what_has_no_layout_has_no_name(tmp_path):
    assert layout_name(touch(tmp_path, "a.nii")) == ""
    assert layout_name(tmp_path / "mine.json") == "datalist"
