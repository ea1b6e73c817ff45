"""Cost of each kind of gate: a training step and a window, by turns, next to the network without gates.

python -m tests.benchmarks.gates [REPEATS]

The bundle's network and loss, one window of 96^3 in float32, torch eager. Weights are random: the time does
not depend on them.
"""

import sys
import time
from statistics import median

import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss
from rich.console import Console
from rich.table import Table

from monai_attn import AttentionUNet
from monai_attn.networks.gates import hard_gates
from monai_attn.training.hard_attention_loss import HardAttentionLoss
from tests.benchmarks.process import machine

GATES = {
    "none": None,
    "soft": "soft",
    "hard, straight-through": ("hard", {"estimator": "straight_through"}),
    "hard, REINFORCE": ("hard", {"estimator": "reinforce"}),
}


class Trained:
    """A network with what a step takes."""

    def __init__(self, gate):
        torch.manual_seed(0)
        self.network = AttentionUNet(3, 1, 2, gate=gate, deep_supervision=2)
        self.network.to(memory_format=torch.channels_last_3d)
        loss = DeepSupervisionLoss(DiceCELoss(to_onehot_y=True, softmax=True, batch=False))
        self.loss = HardAttentionLoss(loss, self.network) if hard_gates(self.network) else loss
        self.optimizer = torch.optim.AdamW(self.network.parameters())

    def step(self, image, label):
        self.network.train()
        self.optimizer.zero_grad()
        self.loss(self.network(image), label).backward()
        self.optimizer.step()

    def window(self, image, label):
        self.network.eval()
        with torch.inference_mode():
            self.network(image)


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    networks = {name: Trained(gate) for name, gate in GATES.items()}
    image = torch.rand(1, 1, 96, 96, 96).to(memory_format=torch.channels_last_3d)
    label = (torch.rand(1, 1, 96, 96, 96) > 0.9).float()
    table = Table("gate", "training step s", "of none", "window s", "of none")
    took = {(name, what): [] for name in networks for what in ("step", "window")}
    for turn in range(repeats + 1):
        for name, what in took:
            start = time.perf_counter()
            getattr(networks[name], what)(image, label)
            if turn:  # the first is for warming up
                took[name, what].append(time.perf_counter() - start)
    for name in networks:
        cells = []
        for what in ("step", "window"):
            ratios = [a / b for a, b in zip(took[name, what], took["none", what], strict=True)]
            cells += [f"{median(took[name, what]):.2f}", f"{median(ratios):.2f}"]
        table.add_row(name, *cells)
    console = Console(width=110)
    console.print(table)
    console.print(machine())


if __name__ == "__main__":
    main()
