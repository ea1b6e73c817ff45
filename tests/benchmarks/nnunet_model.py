"""Write a model folder of nnU-Net with random weights. It runs in nnU-Net's environment.

python nnunet_model.py FOLDER WORK

WORK is JSON as from `shipped_work`. The network is nnU-Net's `PlainConvUNet` with the same channels and
strides, and the grid and the windows are the same. The time of a prediction does not depend on the weights.
"""

import json
import sys
from pathlib import Path

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet

STATISTICS = {
    "max": 300.0,
    "mean": 50.0,
    "median": 50.0,
    "min": -150.0,
    "percentile_00_5": -100.0,
    "percentile_99_5": 250.0,
    "std": 60.0,
}


def network_arguments(work):
    """Return the arguments of nnU-Net's network by their names, with classes as plain texts."""
    channels = work["channels"]
    return {
        "n_stages": len(channels),
        "features_per_stage": channels,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * len(channels),
        "strides": [[1, 1, 1], *(stride[::-1] for stride in work["strides"])],
        "n_conv_per_stage": [2] * len(channels),
        "n_conv_per_stage_decoder": [2] * (len(channels) - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def plans(work):
    """Return nnU-Net's plans with one configuration. Its arrays are in the order z, y, x."""
    spacing = work["spacing"][::-1]
    resample = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": work["roi_size"][::-1],
        "median_image_size_in_voxels": [200.0, 200.0, 200.0],
        "spacing": spacing,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resample,
        "resampling_fn_seg_kwargs": {**resample, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resample, "order": 1},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": network_arguments(work),
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": True,
    }
    return {
        "dataset_name": "Dataset599_random",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": spacing,
        "original_median_shape_after_transp": [200, 200, 200],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": STATISTICS},
    }


def main():
    folder, work = Path(sys.argv[1]), json.loads(sys.argv[2])
    (folder / "fold_0").mkdir(parents=True)
    dataset = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "pancreas": 1},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    for name, content in (("plans", plans(work)), ("dataset", dataset)):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    torch.manual_seed(0)
    types = {
        "conv_op": torch.nn.Conv3d,
        "norm_op": torch.nn.InstanceNorm3d,
        "nonlin": torch.nn.LeakyReLU,
    }
    network = PlainConvUNet(
        input_channels=1,
        num_classes=2,
        deep_supervision=False,
        **{**network_arguments(work), **types},
    )
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": "3d_fullres"},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")


if __name__ == "__main__":
    main()
