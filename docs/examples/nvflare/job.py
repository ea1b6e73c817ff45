"""Train a bundle at several sites with federated averaging, in NVFlare's simulator.

    python job.py --bundle BUNDLE --site hospital-a=DATA_A --site hospital-b=DATA_B --output OUT

The weights travel between the sites and the server, the data do not. OUT/global is the bundle with the
averaged weights, OUT/SITE holds the files of each site.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
from nvflare.recipe import SimEnv

CLIENT = Path(__file__).with_name("client.py")
METRIC = "val_mean_dice"


def main() -> None:
    """Run the federation of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True, help="Bundle to start from.")
    parser.add_argument(
        "--site", action="append", required=True, metavar="NAME=DATA", help="Site and its cases."
    )
    parser.add_argument("--output", type=Path, required=True, help="New folder for the results.")
    parser.add_argument("--rounds", type=int, default=2, help="Rounds of the federation.")
    parser.add_argument("--epochs", type=int, default=1, help="Epochs in each round at each site.")
    parser.add_argument(
        "--set", action="append", default=[], metavar="ID=VALUE", help="Value of train.json."
    )
    given = parser.parse_args()
    bundle, output = given.bundle.absolute(), given.output.absolute()
    sites = {name: data for name, _, data in (site.partition("=") for site in given.site)}
    for name, data in sites.items():
        if not (name and data):
            parser.error(f"--site (got {name}={data}, expected NAME=DATA). Give both.")
    if not (bundle / "models" / "model.pt").is_file():
        parser.error(f"{bundle}: has no models/model.pt to start from. Give a bundle with weights.")
    for path in (bundle, output, *sites.values()):
        if " " in str(path):
            parser.error(f"{path}: has a space, at which NVFlare splits arguments. Rename it.")
    if output.exists():
        parser.error(f"{output}: exists already. Give a new folder.")

    run = recipe(bundle, sites, output, given).execute(
        SimEnv(clients=list(sites), num_threads=len(sites), workspace_root=str(output / "nvflare"))
    )
    require_all_rounds(sites, output, given.rounds)
    averaged = Path(run.get_result()) / "server" / "simulate_job" / "app_server"
    write_bundle(bundle, averaged / "FL_global_model.pt", output / "global")


def require_all_rounds(sites: dict[str, str], output: Path, rounds: int) -> None:
    """Exit unless each site has finished all rounds: the simulator itself does not say so."""
    for name in sites:
        counted = output / name / "rounds.txt"
        finished = int(counted.read_text()) if counted.is_file() else 0
        if finished < rounds:
            raise SystemExit(
                f"{output / name}: stopped early (got {finished} rounds, expected {rounds}). Read the log "
                "above for the reason."
            )


def recipe(
    bundle: Path, sites: dict[str, str], output: Path, given: argparse.Namespace
) -> FedAvgRecipe:
    """Describe the federation: the network of the bundle, its weights, and the data of each site."""
    config = json.loads((bundle / "configs" / "train.json").read_text(encoding="utf-8"))
    arguments = {
        name: config[value[1:]] if isinstance(value, str) and value.startswith("@") else value
        for name, value in config["network_def"].items()
    }
    words = f"--bundle {bundle} --epochs {given.epochs} --rounds {given.rounds} "
    words += " ".join(f"--set {assignment}" for assignment in given.set)
    return FedAvgRecipe(
        name="attention_unet",
        model={"class_path": arguments.pop("_target_"), "args": arguments},
        initial_ckpt=str(bundle / "models" / "model.pt"),
        min_clients=len(sites),
        num_rounds=given.rounds,
        train_script=str(CLIENT),
        per_site_config={
            name: {"train_args": f"{words} --data {Path(data).absolute()} --output {output / name}"}
            for name, data in sites.items()
        },
        key_metric=METRIC,
    )


def write_bundle(bundle: Path, averaged: Path, target: Path) -> None:
    """Copy a bundle with the averaged weights in place of its own."""
    if not averaged.is_file():
        raise SystemExit(f"{averaged}: was not written by the server. Read the log above.")
    shutil.copytree(bundle, target, ignore=shutil.ignore_patterns("*.pt", "*.pth", "*.ts"))
    (target / "models").mkdir(exist_ok=True)
    torch.save(torch.load(averaged, weights_only=True)["model"], target / "models" / "model.pt")


if __name__ == "__main__":
    main()
