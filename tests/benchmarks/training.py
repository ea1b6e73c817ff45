"""Train by MONAI's plain loop, by nnU-Net's loop and by ours, in turns, and compare windows per second.

    OMP_NUM_THREADS=1 taskset -c 1 python -m tests.benchmarks.training WORK [--nnunet ENV/bin]
        [--epochs N] [--repeats N]

WORK gets four phantoms, nnU-Net's copy of them, and `training.json`, to which each turn is added at once, so
that an interrupted measurement goes on. Other labelled cases may lie in WORK/data.

ENV is an environment with nnU-Net 2.8 and MONAI, of which the network and the augmentation are made:

    python3 -m venv ENV
    ENV/bin/pip install -c constraints.txt torch==2.13.0
    ENV/bin/pip install -c constraints.txt "nnunetv2==2.8.*" monai lazy_loader

All train the network of the shipped bundle on the same phantoms: its grid, its window and its batch (two
windows of two cases; in nnU-Net four windows), Dice and cross-entropy with deep supervision. The plain loop
is what model-zoo bundles do: MONAI's transforms with their metadata, `CacheDataset`, `DataLoader`,
`SupervisedTrainer` with mixed precision where MONAI has it, a training metric. `nnunet_loop` describes
nnU-Net's. Each turn is a process of its own; an epoch's time has loading and augmentation in it; the
first, which fills the caches, does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ignite.engine import Events
from monai import transforms as T
from monai.bundle import ConfigParser
from monai.data import CacheDataset, DataLoader
from monai.engines import SupervisedTrainer
from monai.handlers import MeanDice, from_engine
from monai.inferers import SimpleInferer
from monai.losses import DeepSupervisionLoss, DiceCELoss
from monai.utils import set_determinism
from rich.console import Console
from rich.table import Table

from monai_attn import DEFAULT_BUNDLE, AttentionUNet
from monai_attn.bundle.find import find_bundle
from monai_attn.datasets.cases import find_cases
from monai_attn.phantom import write_phantoms
from monai_attn.transforms.augmentation import scan_variation
from tests.benchmarks.against_nnunet import nnunet_env, run_measured
from tests.benchmarks.process import PYTHON, machine

KEYS = ("image", "label")
CASES = 4
DATASET, PLANS = "Dataset503_loop", "loop"
PLAIN = "MONAI's plain loop, float32"
NNUNET = {  # arms of `nnunet_loop`
    "nnU-Net's loop, float32, its own augmentation": "own",
    "nnU-Net's loop, float32": "same",
    "nnU-Net's loop, bfloat16": "bfloat16",
}
OURS = {"configs/train.json, float32": "float32", "configs/train.json": "auto"}
Epochs = list[list[float]]  # of each epoch: seconds, processor seconds


def train_config() -> dict[str, Any]:
    """Return the training config of the shipped bundle."""
    path = find_bundle(DEFAULT_BUNDLE) / "configs" / "train.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def network_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the bundle's `AttentionUNet`."""
    options = {key: value for key, value in config["network_def"].items() if key != "_target_"}
    return {**options, "out_channels": config["num_classes"]}


def windows_per_step(config: Mapping[str, Any]) -> int:
    """Return the number of windows in a step of any loop."""
    return int(config["batch_size"] * config["num_samples"])


def plain(data: str) -> SupervisedTrainer:
    """Return a trainer as a model-zoo bundle has it."""
    config = train_config()
    roi = config["roi_size"]
    before = [
        T.LoadImaged(KEYS),
        T.EnsureChannelFirstd(KEYS),
        T.Orientationd(KEYS, axcodes="RAS", labels=None),
        T.Spacingd(KEYS, pixdim=config["spacing"], mode=("bilinear", "nearest")),
        T.ScaleIntensityRanged("image", *config["intensity_range"], 0, 1, clip=True),
        T.EnsureTyped(KEYS),
    ]
    crop = [
        T.SpatialPadd(KEYS, roi),
        T.RandCropByPosNegLabeld(
            KEYS, "label", roi, pos=1, neg=1, num_samples=config["num_samples"]
        ),
    ]
    vary = scan_variation(KEYS, ("bilinear", "nearest"))
    dataset = CacheDataset(find_cases(data), T.Compose([*before, *crop, *vary]), progress=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = AttentionUNet(**network_options(config)).to(device)
    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)
    return SupervisedTrainer(
        device=device,
        max_epochs=1,
        train_data_loader=DataLoader(
            dataset,
            batch_size=config["batch_size"],
            shuffle=True,
            num_workers=4 * torch.cuda.is_available(),
        ),
        network=network,
        optimizer=torch.optim.AdamW(network.parameters(), config["learning_rate"]),
        loss_function=DeepSupervisionLoss(loss),
        inferer=SimpleInferer(),
        amp=torch.cuda.is_available(),
        postprocessing=T.Compose(
            [
                T.Lambdad("pred", lambda logits: logits[0] if isinstance(logits, list) else logits),
                T.Activationsd("pred", softmax=True),
                T.AsDiscreted(KEYS[1:] + ("pred",), argmax=(False, True), to_onehot=2),
            ]
        ),
        key_train_metric={
            "train_mean_dice": MeanDice(
                include_background=False, output_transform=from_engine(["pred", "label"])
            )
        },
    )


def ours(data: str, folder: str, dtype: str) -> SupervisedTrainer:
    """Return the shipped bundle's own trainer, without validation."""
    parser = ConfigParser()
    parser.read_config(find_bundle(DEFAULT_BUNDLE) / "configs" / "train.json")
    parser["bundle_root"], parser["dataset_dir"] = folder, data
    parser["split"] = {"training": find_cases(data), "validation": find_cases(data)[:1]}
    parser["val_interval"] = 1000
    parser["epochs"] = 1
    parser["train#inferer#dtype"] = dtype
    parser["train"]["handlers"] = parser["train"]["handlers"][:2]  # the seed and the schedule
    trainer: SupervisedTrainer = parser.get_parsed_content("train#trainer")
    return trainer


def timed_epochs(trainer: SupervisedTrainer, epochs: int) -> Epochs:
    """Train an epoch that fills the caches, then `epochs` more; return the seconds of all."""
    set_determinism(0)
    trainer.state.max_epochs = epochs + 1
    starts: list[tuple[float, float]] = []
    found: Epochs = []

    def started(_: Any) -> None:
        starts.append((time.perf_counter(), time.process_time()))

    def completed(_: Any) -> None:
        wall, processor = starts[-1]
        found.append([time.perf_counter() - wall, time.process_time() - processor])

    trainer.add_event_handler(Events.EPOCH_STARTED, started)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, completed)
    trainer.run()
    return found


def prepare_nnunet(data: Path, work: Path, bin_: Path) -> dict[str, str]:
    """Preprocess the cases for nnU-Net on the bundle's grid; return the variables for its loop."""
    config = train_config()
    env = {**nnunet_env(work), "nnUNet_n_proc_DA": "1"}
    raw = work / "nnUNet_raw" / DATASET
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True, exist_ok=True)
    cases = find_cases(data)
    for number, case in enumerate(cases):
        shutil.copyfile(case["image"], raw / "imagesTr" / f"case{number}_0000.nii.gz")
        shutil.copyfile(case["label"], raw / "labelsTr" / f"case{number}.nii.gz")
    described = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "pancreas": 1},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    id_ = DATASET[len("Dataset") :][:3]
    spacing = [str(step) for step in reversed(config["spacing"])]
    plan = ["-overwrite_target_spacing", *spacing, "-overwrite_plans_name", PLANS]
    preprocess = ["-plans_name", PLANS, "-c", "3d_fullres", "-np", "1", "--no_pbar"]
    for command, options in (
        ("nnUNetv2_extract_fingerprint", ["-np", "1", "--no_pbar"]),
        ("nnUNetv2_plan_experiment", plan),
        ("nnUNetv2_preprocess", preprocess),
    ):
        if options is preprocess:
            same_window(work / "nnUNet_preprocessed" / DATASET / f"{PLANS}.json", config)
        run_measured(work / f"{command}.json", [bin_ / command, "-d", id_, *options], env)
    steps = len(cases) // config["batch_size"]
    network = network_options(config)
    network["strides"] = [[*reversed(step)] for step in network["strides"]]
    loop = {"network": network, "steps": steps}
    root = str(Path(__file__).parents[2])
    # without workers, as the other loops
    return {**env, "nnUNet_n_proc_DA": "0", "LOOP": json.dumps(loop), "PYTHONPATH": root}


def same_window(plans: Path, config: Mapping[str, Any]) -> None:
    """Give nnU-Net's plan the window and the batch of the bundle; nnU-Net counts the slices first."""
    content = json.loads(plans.read_text(encoding="utf-8"))
    chosen = content["configurations"]["3d_fullres"]
    if content["transpose_forward"] != [0, 1, 2]:
        sys.exit(f"error: {plans}: transpose_forward is not that of slices first.")
    chosen["patch_size"] = [*reversed(config["roi_size"])]
    chosen["batch_size"] = windows_per_step(config)
    plans.write_text(json.dumps(content), encoding="utf-8")


def run(arm: str, data: Path, env: Mapping[str, str], bin_: Path | None, epochs: int) -> Epochs:
    """Train in a process of its own; return the seconds of the epochs that count."""
    if arm in NNUNET and bin_:
        loop = {**json.loads(env["LOOP"]), "epochs": epochs}
        script = Path(__file__).with_name("nnunet_loop.py")
        line = [bin_ / "python", script, DATASET, PLANS, NNUNET[arm]]
        variables = {**os.environ, **env, "LOOP": json.dumps(loop)}
    else:
        line = [PYTHON, "-m", "tests.benchmarks.training", data, "--arm", arm]
        line += ["--epochs", epochs]
        variables = {**os.environ}
    done = subprocess.run([*map(str, line)], capture_output=True, text=True, env=variables)
    if done.returncode:
        sys.exit(f"error: {arm}: failed\n{done.stderr[-3000:]}")
    found: Epochs = json.loads(done.stdout.splitlines()[-1])
    return found[1:]


def run_arm(arm: str, data: str, epochs: int) -> Epochs:
    """Train one of the loops of this environment in this process."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = plain(data) if arm == PLAIN else ours(data, folder, OURS[arm])
        return timed_epochs(trainer, epochs)


def table_of(runs: Mapping[str, Epochs], windows: int) -> Table:
    """Return the windows per second of each arm, and its ratios to the two peers in float32."""
    columns = ("per processor s", "per s", "lowest", "highest", "/ plain", "/ nnU-Net")
    table = Table("loop", *columns)
    rates = {arm: [windows / processor for _, processor in found] for arm, found in runs.items()}
    for arm, found in rates.items():
        ratios = [
            f"{median(a / b for a, b in zip(found, rates[peer], strict=True)):.2f}"
            if peer in rates
            else ""
            for peer in (PLAIN, "nnU-Net's loop, float32")
        ]
        wall = median(windows / seconds for seconds, _ in runs[arm])
        ends = (f"{min(found):.3f}", f"{max(found):.3f}")
        table.add_row(arm, f"{median(found):.3f}", f"{wall:.3f}", *ends, *ratios)
    return table


def measure(work: Path, bin_: Path | None, epochs: int, repeats: int) -> None:
    """Run the loops by turns, add each turn to the record at once, and print the table."""
    data, record, config = work / "data", work / "training.json", train_config()
    if not data.is_dir():
        write_phantoms(data, CASES)
    cases = len(find_cases(data))
    if cases % config["batch_size"]:
        sys.exit(f"error: {data}: {cases} cases (expected a multiple of {config['batch_size']}).")
    runs: dict[str, Epochs] = {}
    if record.is_file():
        runs = json.loads(record.read_text(encoding="utf-8"))
    env = prepare_nnunet(data, work / "nnunet", bin_) if bin_ else {}
    arms = [PLAIN, *(NNUNET if bin_ else ()), *OURS]
    for turn in range(repeats):
        for arm in arms:
            found = runs.setdefault(arm, [])
            if len(found) > turn * epochs:
                continue
            found += run(arm, data, env, bin_, epochs)
            record.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
            print(f"{turn} {arm}: {found[-epochs:]}", flush=True)
    windows = cases // config["batch_size"] * windows_per_step(config)
    console = Console(width=140)
    console.print(table_of({arm: runs[arm] for arm in arms}, windows))
    console.print(f"{windows} windows in an epoch, {torch.get_num_threads()} threads; {machine()}")


def main() -> None:
    """Compare the loops, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder for the cases and training.json")
    parser.add_argument("--nnunet", type=Path, help="folder bin of nnU-Net's environment")
    parser.add_argument("--epochs", type=int, default=2, help="epochs that count")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        print(json.dumps(run_arm(given.arm, str(given.work), given.epochs)))
        return
    measure(given.work.absolute(), given.nnunet, given.epochs, given.repeats)


if __name__ == "__main__":
    main()
