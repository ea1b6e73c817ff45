"""nnU-Net's trainer with two short epochs, for `tests.clients.nnunet`; it writes the gates' gradients."""

import json
import os
from pathlib import Path

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerShort(nnUNetTrainer):  # noqa: N801 - nnU-Net's folders are named by it
    """Two epochs of a few steps; network, loss, optimiser, augmentation and all else are nnU-Net's."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 2
        self.num_iterations_per_epoch = int(os.environ["SHORT_STEPS"])
        self.num_val_iterations_per_epoch = 2
        self.gradients = []

    def on_train_epoch_end(self, train_outputs):
        """Keep the largest gradient of each parameter of the gates, as the last step left them."""
        super().on_train_epoch_end(train_outputs)
        gates = [item for item in self.network.named_parameters() if ".gate." in item[0]]
        self.gradients.append({name: float(p.grad.abs().max()) for name, p in gates})
        Path(self.output_folder, "gates.json").write_text(json.dumps(self.gradients))
