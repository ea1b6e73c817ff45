"""nnU-Net's own training command with fewer steps, for `against_nnunet`. It runs in nnU-Net's environment.

SHORT_EPOCHS=20 SHORT_STEPS=15 python nnunet_short.py 501 3d_fullres 0 -p PLANS -device cpu

All else is nnU-Net's: network, loss, optimiser, schedule, sampling, augmentation, and prediction. Only the
number format differs: on a CPU nnU-Net computes in float32, here in bfloat16, as monai-attn does, so that
both have the same precision (on a GPU nnU-Net uses float16). The class is handed over here, not found by its
name: that would import every trainer, and packages that they need.
"""

import os

import torch
from nnunetv2.run import run_training
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerShort(nnUNetTrainer):  # noqa: N801 - nnU-Net's folders are named by it
    """nnU-Net's trainer with few epochs of few steps."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = int(os.environ["SHORT_EPOCHS"])
        self.num_iterations_per_epoch = int(os.environ["SHORT_STEPS"])
        self.num_val_iterations_per_epoch = 1

    def initialize(self):
        super().initialize()
        self.network.to(memory_format=torch.channels_last_3d)
        forward = self.network.forward

        def in_bfloat16(x):
            with torch.autocast("cpu", torch.bfloat16):
                out = forward(x.contiguous(memory_format=torch.channels_last_3d))
            return [level.float() for level in out] if isinstance(out, list) else out.float()

        self.network.forward = in_bfloat16


if __name__ == "__main__":
    run_training.recursive_find_trainer_class_by_name = lambda name: nnUNetTrainerShort
    run_training.run_training_entry()
