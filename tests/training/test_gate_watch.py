"""What the gates do while they are trained is written down, and changes nothing."""

import csv
import math
import re
import warnings
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from torch import nn

from monai_attn import AttentionUNet
from monai_attn.inference.autocast import AutocastInferer
from monai_attn.training.gate_watch import GateEpoch, GateWatch

SAID = {
    -100.0: "lets nothing through .* its skip is cut off",
    100.0: "lets everything through .* it has no effect",
    0.0: "selects again",
}


class Notes:
    """Stands for TensorBoard's writer."""

    def __init__(self):
        self.scalars = {}

    def add_scalar(self, name, value, step):
        self.scalars[name, step] = value


class Run:
    """A training of a tiny network, two steps an epoch, in which the gates alone are of interest.

    Args:
        folder: of the training.
        biases: what the bias of the gates' psi is set to in each epoch; not a number leaves it.
    """

    def __init__(self, folder, biases=(math.nan,), network=None, watched=True):
        torch.manual_seed(0)
        self.network = network or AttentionUNet(
            2, 1, 2, channels=(4, 4, 4), strides=(2, 2), gated_levels=[0, 1], dropout=0.2
        )
        self.notes = Notes()
        history = SimpleNamespace(folder=folder, events=lambda epoch: self.notes)
        self.watch = GateWatch(history, self.network, interval=100)
        optimizer = torch.optim.Adam(self.network.parameters(), 0.01)
        label = torch.zeros(1, 8, 8, dtype=torch.uint8)
        label[:, 2:6, 2:5] = 1
        cases = [{"image": torch.rand(1, 8, 8), "label": label} for _ in range(4)]
        self.biases = biases
        self.trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=len(biases),
            train_data_loader=torch.utils.data.DataLoader(cases, batch_size=2),
            network=self.network,
            optimizer=optimizer,
            loss_function=lambda logits, label: nn.functional.cross_entropy(
                logits, label[:, 0].long()
            ),
            inferer=AutocastInferer(SimpleInferer(), "float32"),
            train_handlers=[self, self.watch] if watched else [self],
        )

    def attach(self, trainer):
        """As a handler before the watch: the last step leaves the biases as they are to be."""
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._set)

    def _set(self, trainer):
        bias = self.biases[trainer.state.epoch - 1]
        for name, value in self.network.named_parameters():
            if not math.isnan(bias) and ".psi." in name:
                value.data.fill_(bias if name.endswith("bias") else 0.0)

    def run(self):
        self.trainer.run()
        return self


def table(folder):
    with (folder / "attention.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_epoch_and_gate_is_a_row(tmp_path):
    run = Run(tmp_path, [math.nan] * 2).run()
    rows = table(tmp_path)
    assert [(row["epoch"], row["gate"]) for row in rows] == [
        (epoch, gate) for epoch in "12" for gate in "01"
    ]
    assert (tmp_path / "attention.png").read_bytes()[:4] == b"\x89PNG"
    assert run.notes.scalars["gate_1/mean", 2] == run.watch.epochs[-1].mean
    assert len(run.notes.scalars) == 2 * 2 * 6


def test_the_numbers_are_those_of_the_last_batch(tmp_path):
    run = Run(tmp_path).run()
    images, labels = (
        torch.stack([item[key] for item in run.trainer.state.output]) for key in ("image", "label")
    )
    with torch.no_grad():
        _, maps = run.network.eval().forward_with_attention(images)
    assert len(maps) == 2
    for row, attention in zip(run.watch.epochs, maps, strict=True):
        full = attention.repeat_interleave(8 // attention.shape[-1], dim=-1)
        full = full.repeat_interleave(8 // attention.shape[-2], dim=-2)
        assert row.mean == pytest.approx(float(full.mean()), abs=2e-3)
        assert row.inside == pytest.approx(float(full[labels > 0].mean()), abs=2e-3)
        assert row.outside == pytest.approx(float(full[labels == 0].mean()), abs=2e-3)


def test_training_is_the_same_without_it(tmp_path):
    watched, alone = (Run(tmp_path, [math.nan] * 2, watched=w).run() for w in (True, False))
    for name, value in alone.network.state_dict().items():
        assert torch.equal(value, watched.network.state_dict()[name]), name
    assert all(module.training for module in watched.network.modules())


def test_random_numbers_that_a_gate_draws_are_given_back(tmp_path):
    class Drawing(AttentionUNet):
        def forward_with_attention(self, x):
            torch.rand(3)
            return super().forward_with_attention(x)

    run = Run(tmp_path, network=Drawing(2, 1, 2, channels=(4, 4), strides=(2,)))
    run.run()
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    run.watch._record(run.trainer)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("bias", [-100.0, 100.0])
def test_a_gate_that_ceases_to_choose_is_said_once_and_so_is_its_return(tmp_path, bias):
    biases = [0.0, bias, bias, bias, 0.0, 0.0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        run = Run(tmp_path, biases).run()
    said = [str(warning.message) for warning in caught if "the gate" in str(warning.message)]
    assert len(said) == 2 * 2
    for line, (epoch, gate, about) in zip(
        said, [(2, 0, bias), (2, 1, bias), (5, 0, 0.0), (5, 1, 0.0)], strict=True
    ):
        start = f"{tmp_path}: epoch {epoch}: the gate of level {gate} "
        assert line.startswith(start)
        assert re.match(SAID[about], line.removeprefix(start))
    row = run.watch.epochs[3]
    assert (row.dead, row.saturated) == ((1, 0) if bias < 0 else (0, 1))
    assert row.entropy == 0


@pytest.mark.parametrize(("biases", "epochs"), [([100.0] * 3, [3]), ([100.0, 0.0], [2])])
def test_a_gate_that_begins_open_is_said_only_if_it_ends_so(tmp_path, biases, epochs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        Run(tmp_path, biases).run()
    said = [str(warning.message) for warning in caught if "level 0" in str(warning.message)]
    assert [f"epoch {epoch}:" in line for epoch, line in zip(epochs, said, strict=True)] == [True]
    assert ("everything" in said[0]) == (biases[-1] > 0)


def test_a_gate_that_goes_from_closed_to_open_is_said_twice(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        Run(tmp_path, [-100.0, 100.0]).run()
    said = [str(warning.message) for warning in caught if "level 0" in str(warning.message)]
    assert ["nothing" in line for line in said] == [True, False]


def test_after_a_resume_the_table_goes_on_and_old_news_is_not_said_again(tmp_path):
    with pytest.warns(UserWarning, match="lets nothing through"):
        first = Run(tmp_path, [-100.0]).run()
    second = Run(tmp_path, [-100.0, -100.0])
    second.watch.load_state_dict(first.watch.state_dict())
    second.trainer.state.epoch, second.trainer.state.iteration = 1, 2
    second.run()  # a warning would be an error
    assert [row["epoch"] for row in table(tmp_path)] == [*"1122"]
    assert second.watch.epochs[:2] == first.watch.epochs


def test_what_the_gate_selects_of_a_hard_choice_is_exact():
    from monai_attn.training.gate_watch import _row

    attention = torch.zeros(1, 1, 2, 2)
    attention[0, 0, 0, 0] = 1
    labels = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    labels[0, 0, :2, :4] = 2
    row = _row(3, 1, attention, labels)
    assert row == GateEpoch(3, 1, 0.25, 1.0, 8 / 56, 0.75, 0.25, 0.0)
    assert row.fault == ""


@pytest.mark.parametrize(
    "network",
    [AttentionUNet(2, 1, 2, channels=(4, 4), strides=(2,), gate=None), nn.Conv2d(1, 2, 1)],
    ids=["no gates", "another network"],
)
def test_without_gates_nothing_happens(tmp_path, network):
    run = Run(tmp_path, network=network).run()
    assert run.watch.epochs == []
    assert list(tmp_path.iterdir()) == []


def test_ignored_voxels_have_no_part_in_the_numbers():
    from monai_attn.training.gate_watch import _row

    attention = torch.tensor([0.2, 0.4, 0.9, 0.6]).reshape(1, 1, 2, 2)
    labels = torch.tensor([0, 1, 255, 0]).reshape(1, 1, 2, 2)
    row = _row(1, 0, attention, labels.to(torch.uint8))
    assert row.mean == pytest.approx(0.4, abs=2e-3)
    assert row.inside == pytest.approx(0.4, abs=2e-3)
    assert row.outside == pytest.approx(0.4, abs=2e-3)
    blind = _row(1, 0, attention, torch.full_like(labels, 255))
    assert (blind.mean, blind.inside, blind.fault) == (None, None, "")
