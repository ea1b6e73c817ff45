"""Train nnU-Net v2 and monai-attn on the same cases with as many windows, and score both by one scorer.

    python -m tests.benchmarks.against_nnunet SOURCE WORK --nnunet ENV/bin

SOURCE is the folder of NIH Pancreas-CT that `real_ct` describes; ENV an environment with nnU-Net 2.8:

    python3 -m venv ENV
    ENV/bin/pip install -c constraints.txt torch==2.13.0
    ENV/bin/pip install -c constraints.txt "nnunetv2>=2.8"

Equal in all arms: the cases and their split by patient, the spacing, window and batch that nnU-Net plans for
this small memory, the number of steps (but for one arm), and bfloat16. `OMP_NUM_THREADS=1` before the command
keeps all of them on one core. What exists in WORK is not made again, so an interrupted
comparison goes on. `nnunet_data` describes the data sets, `nnunet_short` the short training of nnU-Net.
Nothing is chosen by the validation cases: the last weights of every training are scored.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.nnunet_data import FOLD, LABELS, NUMBERS, prepare
from tests.benchmarks.process import PYTHON, machine

PLANS, CONFIGURATION = "small", "3d_fullres"
MEMORY, SPACING = 0.13, 5.0  # GB for nnU-Net's planner, mm: a step then takes a CPU core a second
# about 950 steps of 2 windows in either: after 171, nnU-Net still found no pancreas
EPOCHS = {"pancreas": 50, "tumour": 80}
OWN = ("network_def#norm=batch", "network_def#act=relu")  # the bundle's own
Measure = dict[str, float]


@dataclass(frozen=True)
class Arm:
    """A training of ours.

    Attributes:
        options: options of `monai-attn train`.
        own: whether the network is like the bundle's own: half of the imported features, batch norm, ReLU.
        longer: steps for each step of nnU-Net.
    """

    options: tuple[str, ...] = ()
    own: bool = False
    longer: int = 1


ARMS = {
    "ours, nnU-Net's plan": Arm(),
    "ours, its plan and recipe": Arm(("--recipe", "nnunet")),
    "ours, own network": Arm(own=True),
    "ours, own network, 3 times the steps": Arm(own=True, longer=3),
}


def run_measured(record: Path, command: Sequence[Any], env: Mapping[str, str]) -> Measure:
    """Run a command unless its record exists; return seconds, CPU seconds and the peak MiB of a process."""
    if record.is_file():
        found: Measure = json.loads(record.read_text(encoding="utf-8"))
        return found
    record.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with record.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(
            [*map(str, command)], stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **env}
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        sys.exit(f"error: {record.with_suffix('.log')}: {command[0]} failed. Read the end of it.")
    measure = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }
    record.write_text(json.dumps(measure) + "\n", encoding="utf-8")
    return measure


def nnunet_env(work: Path) -> dict[str, str]:
    """Return nnU-Net's variables: its folders, and no process besides the one that is measured."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    return {
        **{name: str((work / name).absolute()) for name in names},
        "nnUNet_def_n_proc": "1",
        "nnUNet_compile": "f",
    }


def train_nnunet(which: str, data: Path, work: Path, bin_: Path, epochs: int) -> Measure:
    """Plan, preprocess and train nnU-Net; its predictions of the validation cases are then there."""
    number, env = str(NUMBERS[which]), nnunet_env(work)
    runs = work / "measures" / which
    preprocessed = work / "nnUNet_preprocessed" / data.name
    planning = {**env, "nnUNet_n_proc_DA": "1"}
    spacing = [str(SPACING)] * 3
    steps = [
        ("fingerprint", "nnUNetv2_extract_fingerprint", ["-np", "1", "--no_pbar"], env),
        (
            "plan",
            "nnUNetv2_plan_experiment",
            ["-gpu_memory_target", MEMORY, "-overwrite_target_spacing", *spacing]
            + ["-overwrite_plans_name", PLANS],
            planning,
        ),
        (
            "preprocess",
            "nnUNetv2_preprocess",
            ["-plans_name", PLANS, "-c", CONFIGURATION, "-np", "1", "--no_pbar"],
            env,
        ),
    ]
    for name, command, options, variables in steps:
        words = [bin_ / command, "-d", number, *options]
        run_measured(runs / f"nnunet_{name}.json", words, variables)
    splits = (data / "splits_final.json").read_text(encoding="utf-8")
    (preprocessed / "splits_final.json").write_text(splits, encoding="utf-8")
    cases = len(json.loads(splits)[0]["train"])
    # one process: SingleThreadedAugmenter, as DataLoader without workers in our training
    short = {"SHORT_EPOCHS": str(epochs), "SHORT_STEPS": str(cases // 2), "nnUNet_n_proc_DA": "0"}
    script = Path(__file__).with_name("nnunet_short.py")
    words = [bin_ / "python", script, number, CONFIGURATION, FOLD, "-p", PLANS, "-device", "cpu"]
    return run_measured(runs / "nnunet.json", words, {**env, **short})


def train_ours(which: str, data: Path, work: Path, arm: str, epochs: int) -> Measure:
    """Take over nnU-Net's plan and train with it; our predictions are then in the run's folder."""
    runs, name = work / "measures" / which, arm_name(arm)
    plans = work / "nnUNet_preprocessed" / data.name / f"{PLANS}.json"
    plan = work / "ours" / which / "plan.json"
    plan.parent.mkdir(parents=True, exist_ok=True)
    ours = [PYTHON, "-m", "monai_attn"]
    run_measured(runs / "ours_plan.json", [*ours, "plan", "--from", plans, "-o", plan], {})
    chosen = ARMS[arm]
    epochs *= chosen.longer
    settings = [f"val_interval={epochs}", "patience=100000"]  # the last weights count, as there
    if chosen.own:
        wide = json.loads(plan.read_text(encoding="utf-8"))["network_def#channels"]
        narrow = json.dumps([count // 2 for count in wide]).replace(" ", "")
        settings = [*settings, *OWN, f"network_def#channels={narrow}"]
    words = [*ours, "train", data / "datalist.json", "-o", work / "ours" / which / name]
    words += ["--plan", plan, "--fold", FOLD, "--epochs", epochs]
    words += ["--device", "cpu", *chosen.options]
    for setting in settings:
        words += ["--set", setting]
    return run_measured(runs / f"{name}.json", words, {})


def arm_name(arm: str) -> str:
    """Return the name of an arm's folder."""
    return arm.replace(",", "").replace("'", "").replace(" ", "_")


def dice_by_label(
    predictions: Path, data: Path, which: str, output: Path
) -> dict[int, list[float]]:
    """Score predictions by `monai-attn evaluate`; return the Dice of each case, by label."""
    words = [PYTHON, "-m", "monai_attn", "evaluate", predictions, data / "labelsTr"]
    words += ["--partial", "-o", output]
    ignore = LABELS[which].get("ignore")
    words += [] if ignore is None else ["--ignore", ignore]
    subprocess.run([*map(str, words)], check=True, stdout=subprocess.DEVNULL)
    found: dict[int, list[float]] = {}
    for score in json.loads(output.read_text(encoding="utf-8"))["cases"]:
        if score["dice"] is not None:
            found.setdefault(int(score["label"]), []).append(score["dice"])
    return found


def compare(which: str, data: Path, work: Path, bin_: Path, arms: Sequence[str]) -> Table:
    """Run all arms of a data set, and return their table."""
    epochs = EPOCHS[which]
    rows: dict[str, tuple[Measure, Path]] = {}
    folder = work / "nnUNet_results" / data.name
    folder = folder / f"nnUNetTrainerShort__{PLANS}__{CONFIGURATION}" / f"fold_{FOLD}"
    rows["nnU-Net 2.8"] = (train_nnunet(which, data, work, bin_, epochs), folder / "validation")
    for arm in arms:
        measure = train_ours(which, data, work, arm, epochs)
        rows[arm] = (measure, work / "ours" / which / arm_name(arm) / "eval")
    names = {value: name for name, value in LABELS[which].items()}
    table = Table(which, "label", "cases", "mean Dice", "median", "CPU s", "wall s", "peak MiB")
    for arm, (measure, predictions) in rows.items():
        scores = work / "measures" / which / f"scores_{arm_name(arm)}.json"
        cost = [f"{measure[key]:.0f}" for key in ("cpu_seconds", "seconds", "peak_mib")]
        for label, dices in sorted(dice_by_label(predictions, data, which, scores).items()):
            figures = [f"{mean(dices):.3f}", f"{median(dices):.3f}"]
            table.add_row(arm, names[label], str(len(dices)), *figures, *cost)
    return table


def main() -> None:
    """Compare on each data set, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder with cases.csv")
    parser.add_argument("work", type=Path, help="folder for data sets, trainings and measures")
    parser.add_argument("--nnunet", type=Path, required=True, help="folder bin of its environment")
    parser.add_argument("--data", nargs="+", choices=[*LABELS], default=[*LABELS])
    parser.add_argument("--arms", nargs="*", choices=[*ARMS], default=[*ARMS])
    given = parser.parse_args()
    if not (given.nnunet / "nnUNetv2_train").is_file():
        sys.exit(f"error: {given.nnunet}: no nnUNetv2_train in it. Install nnU-Net there.")
    console = Console(width=120)
    for which in given.data:
        data = prepare(which, given.source, given.work)
        console.print(compare(which, data, given.work, given.nnunet, given.arms))
    console.print(machine())


if __name__ == "__main__":
    main()
