"""Train a bundle on the data of one site: NVFlare runs this script at each site of the federation."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import nvflare.client as flare
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics
from monai.fl.utils.exchange_object import ExchangeObject

METRIC = "val_mean_dice"


def main() -> None:
    """Receive the global weights, score and train them, and send the result, round by round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True, help="Folder of the bundle.")
    parser.add_argument("--data", type=Path, required=True, help="Labelled cases of this site.")
    parser.add_argument("--output", type=Path, required=True, help="Folder for this site's files.")
    parser.add_argument("--epochs", type=int, required=True, help="Epochs in each round.")
    parser.add_argument("--rounds", type=int, required=True, help="Rounds of the federation.")
    parser.add_argument("--set", action="append", default=[], help="ID=VALUE for train.json.")
    given = parser.parse_args()

    flare.init()
    algo = MonaiAlgo(
        bundle_root=str(given.bundle),
        local_epochs=given.epochs,
        send_weight_diff=False,
        config_evaluate_filename="configs/train.json",  # its validation cases
        train_kwargs=settings(given),
        eval_kwargs=settings(given),
    )
    algo.initialize(extra={ExtraItems.CLIENT_NAME: flare.get_site_name()})
    while flare.is_running():
        received = flare.receive()
        weights = {name: torch.as_tensor(value) for name, value in received.params.items()}
        dice = algo.evaluate(ExchangeObject(weights=weights)).metrics[METRIC]
        print(f"round {received.current_round}: {METRIC} of the global model: {dice:.3f}")
        algo.train(ExchangeObject(weights=weights))
        trained = algo.get_weights()
        steps = trained.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS]
        flare.send(
            flare.FLModel(
                params=trained.weights,
                metrics={METRIC: float(dice)},
                meta={"NUM_STEPS_CURRENT_ROUND": steps},
            )
        )
        (given.output / "rounds.txt").write_text(f"{received.current_round + 1}\n")
    algo.finalize()


def settings(given: argparse.Namespace) -> dict[str, object]:
    """Return the values of train.json that differ at this site."""
    return {
        "dataset_dir": str(given.data),
        "cache_dir": str(given.output / "cache"),
        "log_dir": str(given.output / "training"),
        "ckpt_dir": str(given.output / "models"),
        "epochs": given.rounds * given.epochs,  # for the schedule of the learning rate
        "val_interval": given.epochs,
        **{name: value(text) for name, text in (word.split("=", 1) for word in given.set)},
    }


def value(text: str) -> object:
    """Return a value of the command line: JSON, or else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


main()
