"""Plans of nnU-Net: what becomes of each part, what is left out, and what is refused."""

import copy
import json

import pytest
import torch
from monai.bundle import ConfigParser

from command_line import run
from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.find import find_bundle
from monai_attn.networks import AttentionUNet
from monai_attn.phantom import write_phantoms
from monai_attn.planning.nnunet_plans import read_nnunet_plans
from monai_attn.planning.rules import write_plan
from monai_attn.training.overrides import override, read_plan

ARCHITECTURE = {
    "n_stages": 4,
    "features_per_stage": [8, 16, 32, 64],
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [1, 1, 2]],
    "n_conv_per_stage": [2, 2, 2, 2],
    "n_conv_per_stage_decoder": [2, 2, 2],
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "nonlin": "torch.nn.LeakyReLU",
    "dropout_op": None,
}
FULL = {
    "batch_size": 3,
    "patch_size": [8, 16, 32],
    "spacing": [3.0, 1.0, 0.5],
    "normalization_schemes": ["CTNormalization"],
    "use_mask_for_norm": [False],
    "resampling_fn_data_kwargs": {"order": 3},
    "architecture": {"network_class_name": "a.b.PlainConvUNet", "arch_kwargs": ARCHITECTURE},
    "batch_dice": True,
}
PLANE = {
    **FULL,
    "patch_size": [16, 32],
    "spacing": [1.0, 0.5],
    "architecture": {
        "network_class_name": "PlainConvUNet",
        "arch_kwargs": {
            **ARCHITECTURE,
            "strides": [[1, 1], [1, 2], [2, 2], [2, 2]],
            "kernel_sizes": [[3, 3]] * 4,
        },
    },
}
PLANS = {
    "plans_name": "nnUNetPlans",
    "transpose_forward": [0, 1, 2],
    "original_median_spacing_after_transp": [2.5, 0.9, 0.8],
    "foreground_intensity_properties_per_channel": {
        "0": {"percentile_00_5": -20.04, "percentile_99_5": 180.0, "mean": 80.0, "std": 30.0}
    },
    "configurations": {
        "2d": PLANE,
        "3d_fullres": FULL,
        "3d_lowres": {"inherits_from": "3d_fullres", "spacing": [6.0, 2.0, 1.0]},
    },
}


def changed(value, *keys):
    """The plans with another value at a path of keys."""
    plans = copy.deepcopy(PLANS)
    place = plans
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return plans


@pytest.fixture
def imported(tmp_path):
    def read(plans=PLANS, dims=3, configuration=None):
        path = tmp_path / "nnUNetPlans.json"
        path.write_text(plans if isinstance(plans, str) else json.dumps(plans))
        return read_nnunet_plans(path, dims, configuration)

    return read


def test_the_slices_come_last_here(imported):
    values = imported().overrides
    assert values["spacing"] == [0.5, 1.0, 3.0]
    assert values["roi_size"] == [32, 16, 8]
    assert values["network_def#strides"] == [[2, 2, 1], [2, 2, 2], [2, 1, 1]]
    assert values["network_def#kernel_size"][0] == [3, 3, 1]


def test_a_transposed_plan_is_turned_back(imported):
    """Axis i of the plan is axis `transpose_forward[i]` of the file's slices, rows and columns."""
    turned = imported(changed([2, 0, 1], "transpose_forward"))
    assert turned.overrides["roi_size"] == [8, 32, 16]
    assert any(line.startswith("transpose_forward: ") for line in turned.left_out)


def test_the_rest_of_the_values(imported):
    values = imported().overrides
    assert values["network_def#channels"] == [8, 16, 32, 64]
    assert values["network_def#deep_supervision"] == 1
    assert values["network_def#norm"] == ["instance", {"affine": True}]
    assert (values["batch_size"], values["num_samples"]) == (3, 1)
    assert values["loss#loss#batch"] is True
    assert values["intensity_range"] == [-20.0, 180.0]


def test_a_configuration_inherits(imported):
    low = imported(configuration="3d_lowres").overrides
    assert low["spacing"] == [1.0, 2.0, 6.0]
    assert low["roi_size"] == [32, 16, 8]


def test_2d_keeps_the_distance_of_slices(imported):
    values = imported(dims=2).overrides
    assert values["spacing"] == [0.5, 1.0, 2.5]
    assert values["roi_size"] == [32, 16]
    assert values["network_def#strides"][0] == [2, 1]


def test_plans_before_2_4_name_the_network_otherwise(imported):
    old = {key: value for key, value in FULL.items() if key != "architecture"} | {
        "pool_op_kernel_sizes": ARCHITECTURE["strides"],
        "conv_kernel_sizes": ARCHITECTURE["kernel_sizes"],
        "UNet_base_num_features": 8,
        "unet_max_num_features": 32,
    }
    values = imported(changed(old, "configurations", "3d_fullres")).overrides
    assert values["network_def#channels"] == [8, 16, 32, 32]
    assert values["network_def#strides"] == imported().overrides["network_def#strides"]


@pytest.mark.parametrize("dims", [2, 3])
def test_the_bundle_takes_the_overlay_and_builds_the_network(imported, tmp_path, dims):
    bundle = find_bundle(DEFAULT_BUNDLE if dims == 3 else f"{DEFAULT_BUNDLE}_2d")
    plan = imported(dims=dims)
    values, _ = read_plan(write_plan(plan, tmp_path / "plan.json"))
    config = json.loads((bundle / "configs" / "train.json").read_text())
    override([config], values)
    network = ConfigParser(config).get_parsed_content("network_def").eval()
    assert isinstance(network, AttentionUNet)
    assert isinstance(
        network.encoder[0][0].adn.N, (torch.nn.InstanceNorm2d, torch.nn.InstanceNorm3d)
    )
    assert isinstance(network.encoder[0][0].adn.A, torch.nn.LeakyReLU)
    channels = network.encoder[0][0].conv.in_channels
    assert network(torch.zeros(1, channels, *values["roi_size"])).shape[2:] == tuple(
        values["roi_size"]
    )


def test_the_labels_come_from_the_data_set_next_to_it(imported, tmp_path):
    assert any(line.startswith("labels: ") for line in imported().left_out)
    described = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1, "tumour": 2, "ignore": 3},
        "file_ending": ".nii.gz",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    plan = imported()
    assert plan.labels == ("1=liver", "2=tumour")
    assert plan.overrides["ignore"] == 3
    assert not any(line.startswith("labels: ") for line in plan.left_out)


def several(*schemes, masked=()):
    plans = changed(list(schemes), "configurations", "3d_fullres", "normalization_schemes")
    plans["configurations"]["3d_fullres"]["use_mask_for_norm"] = list(masked)
    properties = plans["foreground_intensity_properties_per_channel"]
    for number in range(1, len(schemes)):
        properties[str(number)] = properties["0"] | {"percentile_99_5": 100.0 + number}
    return plans


def test_each_channel_keeps_its_name_and_its_scaling(imported, tmp_path):
    names = {"0": "T1", "1": "T2", "2": "CT", "3": "mask"}
    described = {"channel_names": names, "labels": {"background": 0, "liver": 1}}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    zscore, ct, none = "ZScoreNormalization", "CTNormalization", "NoNormalization"
    plan = imported(several(zscore, zscore, ct, none, masked=[True, False, False, False]))
    assert plan.overrides["channels"] == [
        {"name": "T1", "scaling": "zscore_nonzero"},
        {"name": "T2", "scaling": "zscore"},
        {"name": "CT", "scaling": [-20.0, 102.0]},
        {"name": "mask", "scaling": "none"},
    ]
    assert "intensity_range" not in plan.overrides
    assert not any(line.startswith("channels: ") for line in plan.left_out)


def test_channels_without_a_name_have_their_number(imported):
    plan = imported(several("CTNormalization", "CTNormalization"))
    assert [one["name"] for one in plan.overrides["channels"]] == ["channel 0", "channel 1"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")  # it finds little so soon
def test_a_training_takes_the_channels_of_the_plan(imported, tmp_path, monkeypatch):
    write_phantoms(tmp_path / "mr", 3, modality="MR", shape=(40, 36, 24), spacing=(9, 9, 9))
    plans = several("ZScoreNormalization", "ZScoreNormalization", masked=[True, False])
    plans["configurations"]["3d_fullres"] |= {
        "spacing": [9, 9, 9],
        "patch_size": [8, 16, 16],
        "batch_size": 2,
    }
    imported(plans)
    plan, out = tmp_path / "plan.json", tmp_path / "run"
    assert run(monkeypatch, "plan", "--from", tmp_path / "nnUNetPlans.json", "-o", plan) == 0
    assert run(monkeypatch, "train", tmp_path / "mr", "-o", out, "--plan", plan, "--epochs", 1) == 0
    trained = json.loads((out / "configs" / "inference.json").read_text())
    assert [one["scaling"] for one in trained["channels"]] == ["zscore_nonzero", "zscore"]
    assert trained["network_def"]["in_channels"] == 2


@pytest.mark.parametrize(
    ("value", "keys", "line"),
    [
        (["ZScoreNormalization"], ("normalization_schemes",), "channels: no dataset.json"),
        (
            ["RescaleTo01Normalization"],
            ("normalization_schemes",),
            "normalization_schemes: channel 0",
        ),
        (["RGBTo01Normalization"], ("normalization_schemes",), "normalization_schemes: RGBTo01"),
        ("3d_lowres", ("previous_stage",), "previous_stage: "),
        ("x.ResidualEncoderUNet", ("architecture", "network_class_name"), "network_class_name: "),
        ([1, 3, 4, 6], ("architecture", "arch_kwargs", "n_blocks_per_stage"), "n_blocks_per_st"),
        ("torch.nn.SiLU", ("architecture", "arch_kwargs", "nonlin"), "nonlin: SiLU"),
        ("torch.nn.Dropout3d", ("architecture", "arch_kwargs", "dropout_op"), "dropout_op: "),
    ],
)
def test_what_has_no_counterpart_is_said(imported, value, keys, line):
    assert not any(said.startswith(line) for said in imported().left_out)
    plan = imported(changed(value, "configurations", "3d_fullres", *keys))
    assert [said for said in plan.left_out if said.startswith(line)]


@pytest.mark.parametrize(
    ("value", "keys", "message"),
    [
        ("", (), "not readable as JSON"),
        ("{", (), "not readable as JSON"),
        ("[]", (), "no plan of nnU-Net"),
        ('{"spacing": [1, 1, 1]}', (), "no plan of nnU-Net"),
        ({}, ("configurations",), r"no configuration '3d_fullres' \(expected one of none\)"),
        ("3d_fullres", ("configurations", "3d_fullres", "inherits_from"), "no configuration"),
        ([1, 1], ("configurations", "3d_fullres", "spacing"), "invalid spacing"),
        ([0, 1, 1], ("configurations", "3d_fullres", "spacing"), "invalid spacing"),
        ([8, 8.5, 8], ("configurations", "3d_fullres", "patch_size"), "invalid patch_size"),
        (True, ("configurations", "3d_fullres", "batch_size"), "invalid batch_size"),
        (None, ("configurations", "3d_fullres", "architecture"), "invalid architecture"),
        ([0, 0, 1], ("transpose_forward",), "invalid transpose_forward"),
        (["0", "1", "2"], ("transpose_forward",), "invalid transpose_forward"),
        ([1, 1, float("inf")], ("configurations", "3d_fullres", "spacing"), "invalid spacing"),
        ({}, ("foreground_intensity_properties_per_channel",), "invalid foreground_intensity"),
        ([8], ("configurations", "3d_fullres", "architecture", "arch_kwargs", "strides"), "invalid strides"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_line(imported, value, keys, message):
    with pytest.raises(ValueError, match=message) as raised:
        imported(changed(value, *keys) if keys else value)
    assert "nnUNetPlans.json: " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_windows_of_other_dimensions_and_other_slices_are_refused(imported):
    with pytest.raises(ValueError, match=r"2d has windows of 2 axes .the bundle's has 3"):
        imported(configuration="2d")
    with pytest.raises(ValueError, match="expected axial slices"):
        imported(changed([1, 0, 2], "transpose_forward"), dims=2)


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    file, output = tmp_path / "nnUNetPlans.json", tmp_path / "plan.json"
    file.write_text(json.dumps(PLANS))
    assert run(monkeypatch, "plan", "--from", file, "-o", output) == 0
    assert "not taken over: labels: " in capsys.readouterr().out
    assert json.loads(output.read_text())["roi_size"] == [32, 16, 8]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "no data set"),
        (("scans", "--from", "p.json"), "needs no DATA"),
        (("--from", "p.json", "--memory", "1GiB"), "needs no --memory"),
        (("scans", "--configuration", "2d"), "Give --from"),
    ],
)
def test_options_that_contradict_each_other_are_refused(words, problem, monkeypatch, capsys):
    assert run(monkeypatch, "plan", *words) != 0
    assert problem in " ".join(capsys.readouterr().err.split())
