"""Plans for nnU-Net's own training: only the network's class changes, and nnU-Net can build it."""

import copy
import json

import pytest

from command_line import run
from monai_attn.planning import read_nnunet_plans, write_nnunet_plans

REQUIRED = ["conv_op", "norm_op", "dropout_op", "nonlin"]
ARGUMENTS = {
    "n_stages": 3,
    "features_per_stage": [8, 16, 32],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "n_conv_per_stage": [2, 2, 2],
    "n_conv_per_stage_decoder": [2, 2],
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}
PLANS = {
    "dataset_name": "Dataset001_Phantom",
    "plans_name": "nnUNetPlans",
    "transpose_forward": [0, 1, 2],
    "configurations": {
        "3d_fullres": {
            "data_identifier": "nnUNetPlans_3d_fullres",
            "batch_size": 2,
            "patch_size": [8, 16, 16],
            "spacing": [3.0, 1.0, 1.0],
            "normalization_schemes": ["ZScoreNormalization"],
            "architecture": {
                "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                "arch_kwargs": ARGUMENTS,
                "_kw_requires_import": REQUIRED,
            },
        },
        "3d_cascade_fullres": {"inherits_from": "3d_fullres"},
    },
}
CLASS = "monai_attn.networks.NnUNetAttentionUNet"


@pytest.fixture
def source(tmp_path):
    return written(tmp_path, PLANS)


def written(folder, plans):
    path = folder / "nnUNetPlans.json"
    path.write_text(json.dumps(plans))
    return path


def architecture(**changes):
    """The plans with other arguments of the network."""
    plans = copy.deepcopy(PLANS)
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].update(changes)
    return plans


def test_only_the_network_and_the_name_change(source):
    output = source.with_name("nnUNetAttentionPlans.json")
    assert write_nnunet_plans(source, output) == output
    expected = copy.deepcopy(PLANS)
    expected["plans_name"] = "nnUNetAttentionPlans"
    planned = expected["configurations"]["3d_fullres"]["architecture"]
    planned["network_class_name"] = CLASS
    assert json.loads(output.read_text()) == expected


def test_the_copy_can_be_copied_and_imported(source):
    once, twice = (source.with_name(name) for name in ("once.json", "twice.json"))
    write_nnunet_plans(source, once)
    write_nnunet_plans(once, twice)
    assert not any("network_class_name" in line for line in read_nnunet_plans(twice).left_out)


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        (architecture(n_conv_per_stage=[1, 3, 4]), "n_conv_per_stage"),
        (architecture(n_blocks_per_stage=[1, 3, 4]), "n_blocks_per_stage"),
        (architecture(kernel_sizes=[[2, 2, 2]] * 3), "kernel_size"),
        (architecture(norm_op="os.path.Missing"), "norm_op"),
        ({"configurations": {"3d_fullres": {"patch_size": [8, 8, 8]}}}, "architecture"),
    ],
)
def test_a_plan_that_the_network_cannot_follow_is_refused(tmp_path, plans, said):
    source, output = written(tmp_path, plans), tmp_path / "new.json"
    with pytest.raises(ValueError, match=said) as refused:
        write_nnunet_plans(source, output)
    assert str(refused.value).startswith(f"{source}: ")
    assert "\n" not in str(refused.value)
    assert not output.exists()


def test_a_plan_of_residual_blocks_is_refused(tmp_path):
    plans = copy.deepcopy(PLANS)
    place = plans["configurations"]["3d_fullres"]["architecture"]
    place["network_class_name"] = "some.ResidualEncoderUNet"
    with pytest.raises(ValueError, match="ResidualEncoderUNet"):
        write_nnunet_plans(written(tmp_path, plans), tmp_path / "new.json")


def test_the_source_is_not_overwritten(source):
    with pytest.raises(ValueError, match="another name"):
        write_nnunet_plans(source, source)
    assert json.loads(source.read_text()) == PLANS


def test_another_plan_is_not_replaced(source, tmp_path):
    other = tmp_path / "nnUNetResEncPlans.json"
    other.write_text('{"plans_name": "nnUNetResEncPlans"}')
    with pytest.raises(ValueError, match=f"{other}: is another file, so it is not replaced"):
        write_nnunet_plans(source, other)
    own = tmp_path / "own.json"
    write_nnunet_plans(source, own)
    write_nnunet_plans(source, own)


def test_the_command_writes_the_plan(source, tmp_path, monkeypatch):
    output = tmp_path / "nnUNetAttentionPlans.json"
    assert run(monkeypatch, "plan", "--from", source, "--for-nnunet", "-o", output) == 0
    assert CLASS in output.read_text()


@pytest.mark.parametrize("extra", [["DATA"], ["--memory", "1GiB"], ["--configuration", "2d"]])
def test_options_that_measure_are_refused(source, tmp_path, monkeypatch, capsys, extra):
    words = ["plan", "--from", source, "--for-nnunet", "-o", tmp_path / "a.json", *extra]
    assert run(monkeypatch, *words) == 2
    assert "--for-nnunet" in capsys.readouterr().err


def test_the_command_needs_both_files(source, monkeypatch, capsys):
    assert run(monkeypatch, "plan", "--from", source, "--for-nnunet") == 2
    assert "--output" in capsys.readouterr().err
