"""A training that takes milliseconds, with the handlers of a real one."""

from pathlib import Path

import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, MeanDice, ValidationHandler, from_engine
from monai.transforms import Compose, RandomizableTransform, Transform

from monai_attn.training.case_cache import CachedCases
from monai_attn.training.checkpoints import Checkpoints
from monai_attn.training.early_stop import EarlyStop
from monai_attn.training.history import History
from monai_attn.training.seeding import EpochSeed
from monai_attn.training.weight_average import WeightAverage
from monai_attn.transforms.pipelines import discretize


class Read(Transform):
    def __call__(self, case):
        image = torch.linspace(-1, 1, 16).view(1, 4, 4) * float(Path(case["image"]).read_text())
        return {"image": image, "label": (image > 0).to(torch.uint8)}


class Noise(RandomizableTransform):
    def __call__(self, case):
        noise = torch.from_numpy(self.R.normal(size=(1, 4, 4))).float()
        return {**case, "image": case["image"] + noise}


class CutOffError(Exception):
    """Stands for a kill."""


class Toy:
    """A network of a dropout and a convolution, trained on four images of 4 x 4.

    Args:
        folder: of the training.
        epochs: to train.
        stop_after: the epoch after which it is cut off.
        interval: epochs between validations.
        width: channels of the network.
        rate: learning rate; 0 learns nothing.
        average: steps that the average of the weights reaches back; 0 for none.
    """

    def __init__(
        self,
        folder,
        epochs=6,
        *,
        resume=False,
        stop_after=None,
        interval=2,
        patience=100,
        width=4,
        rate=0.1,
        seed=0,
        average=0,
    ):
        torch.manual_seed(seed)
        self.folder = Path(folder)
        self.network = torch.nn.Sequential(
            torch.nn.Conv2d(1, width, 3, padding=1),
            torch.nn.Dropout(0.3),
            torch.nn.Conv2d(width, 2, 3, padding=1),
        )
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)
        self.evaluator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=self._loader(Compose([Read()])),
            network=self.network,
            postprocessing=discretize(),
            key_val_metric={"val_mean_dice": _dice()},
        )
        self.early_stop = EarlyStop(self.evaluator, patience)
        self.history = History(self.folder, self.evaluator)
        self.average = WeightAverage(self.network, self.evaluator, average)
        loader = self._loader(Compose([Read(), Noise()]))
        self.checkpoints = Checkpoints(
            self.folder,
            self.folder / "model.pt",
            self.network,
            {
                "optimizer": self.optimizer,
                "scheduler": self.scheduler,
                "early_stop": self.early_stop,
                "history": self.history,
                "average": self.average,
            },
            self.evaluator,
            resume,
        )
        self.trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=loader,
            network=self.network,
            optimizer=self.optimizer,
            loss_function=lambda logits, label: torch.nn.functional.cross_entropy(
                logits, label[:, 0].long()
            ),
            postprocessing=discretize(),
            train_handlers=[
                EpochSeed(seed, loader.dataset),
                LrScheduleHandler(self.scheduler, print_lr=False),
                ValidationHandler(interval, self.evaluator),
                self.early_stop,
                self.history,
                self.checkpoints,
                self.average,
            ],
        )
        if stop_after:
            self.trainer.add_event_handler(Events.EPOCH_STARTED(once=stop_after + 1), self._stop)

    def run(self):
        """Train to the end; itself."""
        self.trainer.run()
        return self

    def weights(self):
        """All numbers of the network."""
        return torch.cat([p.detach().flatten() for p in self.network.parameters()])

    def _loader(self, transform):
        cases = []
        for number in range(4):
            file = self.folder / f"case_{number}"
            file.parent.mkdir(exist_ok=True)
            if not file.exists():
                file.write_text(str(number + 1))
            cases.append({"image": str(file), "label": str(file)})
        dataset = CachedCases(cases, transform, self.folder / "cache")
        return torch.utils.data.DataLoader(dataset, batch_size=2)

    def _stop(self, _):
        raise CutOffError


def _dice():
    return MeanDice(
        include_background=False, num_classes=2, output_transform=from_engine(["pred", "label"])
    )
