"""nnU-Net's own training loop with the network of the shipped bundle, for `training`.

    LOOP='{"network": {...}, "epochs": 2, "steps": 3}' python nnunet_loop.py DATASET PLANS ARM

It runs in nnU-Net's environment. All else is nnU-Net's: data loader, loss, SGD, gradient clipping, its steps.
ARM is `own`, with nnU-Net's augmentation, or `same`, with that of the bundle, on the same voxels in the same
order of axes; `bfloat16` is `same` under autocast, with channels last, as in our loop (on a CPU nnU-Net
itself computes in float32). The last line is JSON: the seconds of each epoch, on the clock and of the
processor.
"""

import json
import os
import sys
import time

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import (
    DownsampleSegForDSTransform,
)
from monai.transforms import Compose, EnsureTyped
from nnunetv2.run import run_training
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from monai_attn.networks import AttentionUNet
from monai_attn.transforms.augmentation import scan_variation

LOOP = json.loads(os.environ.get("LOOP", "{}"))
KEYS = ("image", "label")


class BundleAugmentation(BasicTransform):
    """The augmentation of the bundle on a window (C, Z, Y, X) of nnU-Net."""

    def __init__(self):
        super().__init__()
        plain = EnsureTyped(KEYS, dtype=(torch.float32, torch.uint8), track_meta=False)
        self.vary = Compose([*scan_variation(KEYS, ("bilinear", "nearest")), plain])

    def apply(self, data_dict, **params):
        parts = (data_dict["image"], data_dict["segmentation"])
        turned = {key: part.transpose(1, 3) for key, part in zip(KEYS, parts, strict=True)}
        turned["label"] = turned["label"].clamp(min=0).to(torch.uint8)  # -1 is outside the scan
        varied = self.vary(turned)
        image, label = (varied[key].transpose(1, 3) for key in KEYS)
        return {**data_dict, "image": image, "segmentation": label.to(torch.int16)}


class nnUNetTrainerLoop(nnUNetTrainer):  # noqa: N801 - nnU-Net's folders are named by it
    """nnU-Net's trainer with another network, and its epochs timed."""

    arm = "own"

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 1 + LOOP["epochs"]
        self.num_iterations_per_epoch = LOOP["steps"]
        self.num_val_iterations_per_epoch = 1
        self.disable_checkpointing = True
        self.epochs = []

    @staticmethod
    def build_network_architecture(
        plans_manager, configuration_manager, inputs, outputs, enable_deep_supervision=True
    ):
        return AttentionUNet(**LOOP["network"])

    def set_deep_supervision_enabled(self, enabled):
        """Do nothing: in training the network returns an output for each of its heads."""

    def _get_deep_supervision_scales(self):
        steps = LOOP["network"]["strides"][: LOOP["network"]["deep_supervision"]]
        return [list(scale) for scale in 1 / np.cumprod([[1, 1, 1], *steps], axis=0)]

    def _build_loss(self):
        options = {"batch_dice": self.configuration_manager.batch_dice, "smooth": 1e-5}
        loss = DC_and_CE_loss(
            {**options, "do_bg": False, "ddp": False},
            {},
            weight_ce=1,
            weight_dice=1,
            dice_class=MemoryEfficientSoftDiceLoss,
        )
        weights = 0.5 ** np.arange(len(self._get_deep_supervision_scales()))  # every output counts
        return DeepSupervisionWrapper(loss, weights / weights.sum())

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        found = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if self.arm == "own":
            return found
        rotation, flat, _, axes = found  # the bundle's augmentation turns the window itself
        return rotation, flat, self.configuration_manager.patch_size, axes

    def get_training_transforms(self, patch_size, rotation, scales, *arguments, **options):
        if self.arm == "own":
            return super().get_training_transforms(
                patch_size, rotation, scales, *arguments, **options
            )
        return ComposeTransforms([BundleAugmentation(), DownsampleSegForDSTransform(scales)])

    def initialize(self):
        super().initialize()
        if self.arm != "bfloat16":
            return
        self.network.to(memory_format=torch.channels_last_3d)
        forward = self.network.forward

        def in_bfloat16(x):
            with torch.autocast("cpu", torch.bfloat16):
                outputs = forward(x.contiguous(memory_format=torch.channels_last_3d))
            if isinstance(outputs, list):
                return [level.float() for level in outputs]
            return outputs.float()

        self.network.forward = in_bfloat16

    def validation_step(self, batch):
        """Skip validation, which is not measured; the logger expects its figures."""
        return {
            "loss": np.zeros(()),
            "tp_hard": np.ones(1),
            "fp_hard": np.ones(1),
            "fn_hard": np.ones(1),
        }

    def on_train_epoch_start(self):
        super().on_train_epoch_start()
        self.start = time.perf_counter(), time.process_time()

    def on_train_epoch_end(self, train_outputs):
        super().on_train_epoch_end(train_outputs)
        ends = time.perf_counter(), time.process_time()
        self.epochs.append([end - start for end, start in zip(ends, self.start, strict=True)])


def main():
    dataset, plans, arm = sys.argv[1:]
    nnUNetTrainerLoop.arm = arm
    run_training.recursive_find_trainer_class_by_name = lambda name: nnUNetTrainerLoop
    trainer = run_training.get_trainer_from_args(
        dataset, "3d_fullres", "all", plans_identifier=plans, device=torch.device("cpu")
    )
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - nnU-Net's loader draws from it
    trainer.run_training()
    print()
    print(json.dumps(trainer.epochs))


if __name__ == "__main__":
    main()
