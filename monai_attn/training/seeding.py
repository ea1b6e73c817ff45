"""Random numbers that depend only on seed, epoch and process, so that a resumed run draws the same."""

from __future__ import annotations

import random

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Events
from monai.engines import Trainer

from monai_attn.training.case_cache import CachedCases


class EpochSeed:
    """A handler for the trainer that seeds the random numbers of each epoch, in data and network.

    Args:
        seed: seed of the whole training.
        dataset: the data set whose random part is seeded too.
    """

    def __init__(self, seed: int, dataset: CachedCases) -> None:
        self.seed = seed
        self.dataset = dataset

    def attach(self, engine: Trainer) -> None:
        """Seed each epoch of a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, trainer: Trainer) -> None:
        """Seed an epoch."""
        self.dataset.set_epoch(trainer.state.epoch)
        entropy = (self.seed, trainer.state.epoch, idist.get_rank())
        number = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        torch.manual_seed(number)
        np.random.seed(number)  # noqa: NPY002 - what MONAI and its users draw from
        random.seed(number)
