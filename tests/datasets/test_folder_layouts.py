import pytest

from monai_attn.datasets.folder_layouts import find_layout, layout_cases, layout_images
from scans import NNUNET, datalist, fails, faults, touch


def cases_in(folder):
    return layout_cases(find_layout(folder))


# folders; the image's name, the label's
NAMES = [
    ("images", "labels", "a.nii.gz", "a.nii.gz"),
    ("images", "labels", "a.nii.gz", "a.nii"),
    ("images", "labels", "a.nii.gz", "a_seg.nii.gz"),
    ("images", "labels", "a.nii.gz", "a_label.nii.gz"),
    ("images", "labels", "a.nii.gz", "a_labels.nii.gz"),
    ("images", "labels", "a.hdr", "a.nii.gz"),
    ("images", "labels", "a_seg.nii.gz", "a_seg.nii.gz"),
    ("images", "labels", "a_seg.nii.gz", "a_seg_seg.nii.gz"),
    ("imagesTr", "labelsTr", "a.nii.gz", "a.nii.gz"),
    ("imagesTr", "labelsTr", "a_0000.nii.gz", "a.nii.gz"),
    ("imagesTr", "labelsTr", "a_0000.nii.gz", "a_0000.nii.gz"),
    ("imagesTr", "labelsTr", "a_0000.nii.gz", "a_0000_seg.nii.gz"),
    ("img", "label", "img0001.nii.gz", "label0001.nii.gz"),
    ("averaged-training-images", "averaged-training-labels", "D1_avg.nii.gz", "D1_avg_seg.nii.gz"),
    ("images", "labels", "FLARE22_Tr_0001_0000.nii.gz", "FLARE22_Tr_0001.nii.gz"),
    ("images", "labels", "A.nrrd", "A.seg.nrrd"),
]


@pytest.mark.parametrize(("images", "labels", "image", "label"), NAMES)
def test_an_image_and_its_label_go_by_the_cases_name(tmp_path, images, labels, image, label):
    touch(tmp_path / images, image, "b.nii.gz", "._b.nii.gz", "notes.txt")
    touch(tmp_path / labels, label, "b.nii.gz", "._c.nii.gz")
    assert cases_in(tmp_path) == [
        {"image": f"{tmp_path}/{images}/{i}", "label": f"{tmp_path}/{labels}/{n}"}
        for i, n in ((image, label), ("b.nii.gz", "b.nii.gz"))
    ]


def test_what_was_made_here_among_the_images_is_none(tmp_path):
    touch(tmp_path / "images", "a.nii", "a_seg.nii", "a_seg.manifest.json")
    touch(tmp_path / "labels", "a.nii")
    assert len(cases_in(tmp_path)) == 1


# the files, what each line says
FAULTS = {
    "no label": (
        ["images/a.nii", "images/b.nii", "images/c.nii", "labels/a.nii"],
        [
            "images/b.nii: has no label (expected labels/b.nii.gz)",
            "images/c.nii: has no label (expected labels/c.nii.gz)",
        ],
    ),
    "no image": (
        ["images/a.nii", "labels/a.nii", "labels/b_seg.nii"],
        ["labels/b_seg.nii: has no image (expected images/b.nii.gz)"],
    ),
    "two images for a label": (
        ["images/a.nii", "images/a.nii.gz", "labels/a.nii"],
        ["images/a.nii and images/a.nii.gz: both are case a "],
    ),
    "two labels for an image": (
        ["images/a.nii", "labels/a.nii", "labels/a_seg.nii"],
        ["labels/a.nii and labels/a_seg.nii: both are case a "],
    ),
    "no folder": (["images/a.nii"], ["labels: no such folder (expected images next to labels)"]),
    "empty folders": (
        ["imagesTr/notes.txt", "labelsTr/._a.nii"],
        ["imagesTr: no scan among 1 entries ", "labelsTr: no label map among 0 entries "],
    ),
    "all at once": (
        ["images/a.nii", "images/b.nii", "images/b.nii.gz", "labels/b.nii", "labels/c.nii"],
        [
            "images/b.nii and images/b.nii.gz: both are case b ",
            "images/a.nii: has no label ",
            "labels/c.nii: has no image ",
        ],
    ),
}


@pytest.mark.parametrize(("files", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_all_faults_of_a_layout_are_listed(tmp_path, files, expected):
    touch(tmp_path, *files)
    lines = [line.replace(f"{tmp_path}/", "") for line in faults(cases_in, tmp_path)]
    assert len(lines) == len(expected)
    for line, begins in zip(lines, expected, strict=True):
        assert line.startswith(begins)


# --- nnU-Net


# what changes in dataset.json, the images, the fault
REFUSED = {
    "channels declared": (
        {"channel_names": {"0": "CT", "1": "PET"}},
        ["a_0000.nii.gz"],
        "/imagesTr/a_0001.nii.gz: does not exist, so that case a lacks channel 1, PET",
    ),
    "channels found": (
        {},
        ["a_0000.nii.gz", "a_0001.nii.gz", "a_0002.nii.gz"],
        "/imagesTr/a_0001.nii.gz: channel 0001 in its name (expected CASE_0000, which 2 of 3 images",
    ),
    "no channel": (
        {},
        ["a.nii.gz"],
        "/imagesTr/a.nii.gz: no channel in its name (expected CASE_0000",
    ),
    "another format": (
        {"file_ending": ".png"},
        ["a_0000.nii.gz"],
        "/dataset.json: unsupported file_ending (got '.png', expected one of .nii.gz, .nii, .nrrd, ",
    ),
}


@pytest.mark.parametrize(("change", "images", "fault"), REFUSED.values(), ids=REFUSED.keys())
def test_data_of_nnunet_that_cannot_be_used(tmp_path, change, images, fault):
    touch(tmp_path / "imagesTr", *images)
    touch(tmp_path / "labelsTr", "a.nii.gz")
    datalist(tmp_path, NNUNET | change)
    fails(f"{tmp_path}{fault}", cases_in, tmp_path)
    fails(f"{tmp_path}{fault}", lambda: layout_images(find_layout(tmp_path)))


def test_a_label_of_nnunet_lacks_the_image_with_its_channel(tmp_path):
    touch(tmp_path, "imagesTr/a_0000.nii", "labelsTr/a.nii", "labelsTr/b.nii")
    datalist(tmp_path, NNUNET)
    (line,) = faults(cases_in, tmp_path)
    assert f"has no image (expected {tmp_path}/imagesTr/b_0000.nii.gz)" in line


# --- what is no layout


def test_a_list_of_cases_or_a_file_is_no_layout(tmp_path):
    touch(tmp_path, "imagesTr/a.nii", "labelsTr/a.nii")
    assert find_layout(tmp_path / "list.json") is None
    assert find_layout(tmp_path / "dataset.json") is None  # it is not there
    assert find_layout(tmp_path / "imagesTr") is None
    assert find_layout(tmp_path) is not None
    datalist(tmp_path, {"training": []})
    assert find_layout(tmp_path) is None


def test_labels_alone_are_no_scans_to_segment(tmp_path):
    """A folder that holds the output of a run, say."""
    touch(tmp_path, "labels/a_seg.nii.gz")
    fails(
        f"{tmp_path / 'images'}: no such folder next to {tmp_path / 'labels'}",
        lambda: layout_images(find_layout(tmp_path)),
    )
