import pytest

from monai_attn.datasets.visits import find_visits


def numbered(form, numbers=range(1, 30)):
    return [form.format(number) for number in numbers]


SEVERAL = [  # names that look like several scans of one patient, and the two that are one's
    (["p01_t1", "p01_t2"], [0, 1]),
    (["p01_t1", "p02_t1", "p02_t2"], [1, 2]),
    (["p02_t1", "p01_t1", "p01_t2", "p03_t1"], [1, 2]),
    (["001-pre", "001-post"], [0, 1]),
    (["001_baseline", "002_baseline", "001_followup"], [0, 2]),
    (["knee07_left", "knee07_right"], [0, 1]),
    (["case_a", "case_b"], [0, 1]),
    (["p01a", "p01b", "p02a"], [0, 1]),
    (["BraTS2021_00001_1", "BraTS2021_00001_2"], [0, 1]),
    (["BraTS2021_00001_1", "BraTS2021_00002_1", "BraTS2021_00002_2"], [1, 2]),
    (["100036_00001", "100036_00002", "100037_00001"], [0, 1]),
    (["p01_1", "p02_1", "p02_2"], [1, 2]),
    (["0001_z000", "0001_z058"], [0, 1]),
    (["0001_z000", "0002_z058", "0002_z061"], [1, 2]),
    (["sub-01_ses-01", "sub-01_ses-02", "sub-02_ses-01"], [0, 1]),
    (["sub-01_ses-01_ct", "sub-01_ses-02_ct"], [0, 1]),
    (["p01_m06", "p01_m12"], [0, 1]),
    (["P01_Visit1", "P01_Visit2"], [0, 1]),
    (["p01t1", "p01t2"], [0, 1]),
    (["p01_20200131", "p01_20210305"], [0, 1]),
    (["p01_2020-01-31", "p01_2021-03-05"], [0, 1]),
    (["doe_20200131", "doe_20210305", "roe_20200131"], [0, 1]),
    (["p01_t1_0000", "p01_t2_0000"], [0, 1]),  # as nnU-Net names channels
]


@pytest.mark.parametrize(("names", "together"), SEVERAL, ids=lambda value: str(value[0]))
def test_names_of_several_scans_of_one_patient(names, together):
    assert find_visits(names) == [together]


ONE_EACH = {
    "numbers": numbered("{:03}"),
    "case": numbered("case_{:03}"),
    "phantom": numbered("phantom_{:04}"),
    "pancreas": numbered("pancreas_{:03}"),
    "BTCV": numbered("img{:04}"),
    "AMOS": numbered("amos_{:04}"),
    "TotalSegmentator": numbered("s{:04}"),
    "AbdomenAtlas": numbered("BDMAP_{:08}"),
    "FLARE": numbered("FLARE22_Tr_{:04}"),
    "FLARE, two numbers": ["FLARE22_Tr_0001", "FLARE22_Tr_0002"],
    "a number in the data set's name": numbered("AMOS22_{:04}"),
    "two such data sets": numbered("AMOS22_{:04}") + numbered("FLARE22_{:04}"),
    "LUNA": numbered("LUNA16_{}"),
    "LiTS": numbered("volume-{}"),
    "KiTS, nnU-Net": numbered("case_{:05}_0000"),
    "Decathlon": numbered("liver_{}"),
    "LIDC": numbered("LIDC-IDRI-{:04}"),
    "LUNG1": numbered("LUNG1-{:03}"),
    "TCIA": numbered("Pancreas-CT-CB_{:03}"),
    "TCGA": [*numbered("TCGA-CV-{}", range(5970, 5990)), *numbered("TCGA-BP-{}", range(100, 120))],
    "COVID-19-20": numbered("volume-covid19-A-{:04}"),
    "a radiopaedia": [f"radiopaedia_{k}_{85900 + k}_0" for k in range(9)],
    "centre and patient": numbered("01-{:03}") + numbered("02-{:03}"),
    "year and patient": numbered("2020_{:02}") + numbered("2021_{:02}"),
    "MM-WHS": numbered("ct_train_{}_image"),
    "BIDS, one session": numbered("sub-{:02}_ses-01_ct"),
    "one part of each": numbered("p{:02}_t1"),
    "BraTS, one of each": numbered("BraTS2021_{:05}_1"),
    "scans numbered": numbered("scan_{:03}"),
    "patients numbered": numbered("ct_p{:02}"),
    "days on which scans were made": ["scan_20200131", "scan_20210305"],
    "UIDs": numbered("1.2.840.113619.2.5.{}"),
    "letters": list("abcdef"),
    "one name for all": ["ct", "ct", "ct"],
    "one case": ["p01_t1"],
    "none": [],
}


@pytest.mark.parametrize("names", ONE_EACH.values(), ids=ONE_EACH.keys())
def test_plain_names_are_of_one_patient_each(names):
    assert find_visits(names) == []
    assert find_visits(names[::-1]) == []
