import pytest

from monai_attn.datasets.channels import (
    Channel,
    declared_channels,
    name_channels,
    read_channels,
    scale_channels,
)
from scans import NNUNET, datalist, fails, save

WINDOW = (0.0, 250.0)


@pytest.mark.parametrize(
    ("text", "scaling"),
    [
        ("T1", None),
        ("T1=zscore", "zscore"),
        ("T1=zscore_nonzero", "zscore_nonzero"),
        ("T1 = percentiles", "percentiles"),
        ("T1=none", "none"),
        ("T1=-100,300", (-100.0, 300.0)),
        ({"name": "T1"}, None),
        ({"name": "T1", "scaling": [0, 1]}, (0.0, 1.0)),
    ],
)
def test_a_channel_is_a_name_with_or_without_a_scaling(text, scaling):
    (channel,) = read_channels([text])
    assert channel == Channel("T1", scaling)
    assert read_channels([channel.content()]) == (channel,)


@pytest.mark.parametrize(
    "entry",
    ["", "=zscore", "T1=minmax", "CT=300,-100", "CT=1,2,3", "CT=a,b", {"scaling": "none"}, 3, []],
)
def test_a_malformed_channel_is_refused(entry):
    with pytest.raises(ValueError, match=r"channel .*(Write it like|no name)"):
        read_channels([entry])


@pytest.mark.parametrize(
    ("name", "scaling"),
    [
        ("CT", WINDOW),
        ("ct", WINDOW),
        ("CT_arterial", WINDOW),
        ("CT 2", WINDOW),
        ("T1", "zscore"),
        ("PET", "zscore"),
        ("CTA", "zscore"),
        ("noNorm", "none"),
    ],
)
def test_the_name_decides_the_scaling(name, scaling):
    (channel,) = scale_channels([Channel(name)], [1.0], WINDOW)
    assert channel.scaling == scaling


def test_images_that_are_mostly_0_are_scaled_within():
    filled = [0.9, 0.5, 0.6]
    chosen = scale_channels([Channel("T1"), Channel("T2", "none")], filled)
    assert [channel.scaling for channel in chosen] == ["zscore_nonzero", "none"]


@pytest.mark.parametrize(
    "declaration",
    [
        {"channel_names": {"0": "T1", "1": "T2"}},
        {"channel_names": {"1": "T2", "0": "T1"}},
        {"modality": {"0": "T1", "1": "T2"}},
        {"modality": ["T1", "T2"]},
    ],
)
def test_a_data_set_declares_its_channels(tmp_path, declaration):
    datalist(tmp_path, declaration)
    assert declared_channels(tmp_path) == ("T1", "T2")


@pytest.mark.parametrize("given", [{"0": "T1", "2": "T2"}, {"0": ""}, {"0": 3}, "T1"])
def test_a_malformed_declaration_is_refused(tmp_path, given):
    path = datalist(tmp_path, NNUNET | {"channel_names": given})
    fails(f"{path}: invalid channel_names", declared_channels, tmp_path)


def test_without_a_declaration_there_are_no_names(tmp_path):
    assert declared_channels(tmp_path) == ()
    datalist(tmp_path, ["a.nii"])
    assert declared_channels(tmp_path) == ()


T1_T2 = (Channel("T1", "zscore"), Channel("T2", "none"))


def _cases(folder, channels):
    files = [str(save(folder / f"a_{number:04d}.nii")) for number in range(channels)]
    return [{"image": files[0] if channels == 1 else files, "label": "a.nii"}]


@pytest.mark.parametrize(
    ("declared", "count", "given", "own", "names"),
    [
        ((), 1, (), (), ()),  # a CT of which nothing is said
        (("CT",), 1, (), (), ()),
        (("MRI",), 1, (), (), ("MRI",)),
        (("T1", "T2"), 2, (), (), ("T1", "T2")),
        (("T1", "T2"), 2, (), T1_T2, T1_T2),
        ((), 2, (), T1_T2, T1_T2),
        (("CT",), 1, (), T1_T2, ("CT",)),
        (("PET", "CT"), 2, (), T1_T2, ("PET", "CT")),  # of other kinds than the bundle's
        (("T1", "T2"), 2, (Channel("A"), Channel("B")), T1_T2, ("A", "B")),
    ],
)
def test_channels_are_named_by_the_user_the_bundle_or_the_data(
    tmp_path, declared, count, given, own, names
):
    datalist(
        tmp_path,
        {"channel_names": {str(i): name for i, name in enumerate(declared)}} if declared else [],
    )
    channels, doubts = name_channels(tmp_path, _cases(tmp_path, count), given, own)
    expected = tuple(Channel(name) if isinstance(name, str) else name for name in names)
    assert channels == expected
    assert not doubts


def test_unnamed_and_renamed_channels_are_doubtful(tmp_path):
    cases = _cases(tmp_path, 2)
    channels, (doubt,) = name_channels(tmp_path, cases, (), ())
    assert [channel.name for channel in channels] == ["channel 0", "channel 1"]
    assert "does not name its 2 channels" in doubt
    datalist(tmp_path, {"modality": {"0": "A", "1": "B"}})
    channels, (doubt,) = name_channels(tmp_path, cases, (), T1_T2)
    assert channels == T1_T2
    assert "its channels A, B are taken for T1, T2" in doubt


def test_wrong_numbers_and_orders_are_refused(tmp_path):
    cases = _cases(tmp_path, 2)
    fails("have 2 channels, but 1 are named (T1)", name_channels, tmp_path, cases, T1_T2[:1], ())
    datalist(tmp_path, {"modality": {"0": "T2", "1": "T1"}})
    fails("another order of channels", name_channels, tmp_path, cases, (), T1_T2)
    datalist(tmp_path, {"modality": {"0": "T1"}})
    fails("have 2 channels, but 1 are declared (T1)", name_channels, tmp_path, cases, (), ())
    more = [*cases, {"image": cases[0]["image"][0]}]
    fails("another number of channels (got 1, expected 2", name_channels, tmp_path, more, (), ())
