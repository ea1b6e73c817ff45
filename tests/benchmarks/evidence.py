"""Do the gates help? Trainings that differ in the gate alone, several seeds each, on two sizes of data set.

    python -m tests.benchmarks.evidence WORK

WORK holds the phantoms, the runs and `evidence.json`; what is there already is not made again, so that it
can be interrupted. Everything goes through the commands that users type.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean

import nibabel as nib
import numpy as np
import torch

from monai_attn.bundle.open import open_bundle
from monai_attn.metrics.comparison import compare_scores, read_runs
from monai_attn.metrics.scores import summarize

GATE, BUDGET = "network_def#gate", "network_def#gate#1#budget"
GATES: dict[str, tuple[str, ...]] = {
    "none": ("--set", f"{GATE}=null"),
    "soft, gating grid": ("--set", f'{GATE}=["soft", {{"grid": "gating"}}]'),
    "soft, skip grid": ("--set", f'{GATE}=["soft", {{"grid": "skip"}}]'),
}
HARD_GATES: dict[str, tuple[str, ...]] = {  # of 64 cases alone
    "hard, straight-through": ("--gate", "hard"),
    "hard, straight-through, half": ("--gate", "hard", "--set", f"{BUDGET}=0.5"),
    "hard, straight-through, quarter": ("--gate", "hard", "--set", f"{BUDGET}=0.25"),
    "hard, REINFORCE": ("--gate", "reinforce"),
    "hard, REINFORCE, quarter": ("--gate", "reinforce", "--set", f"{BUDGET}=0.25"),
}
SIZES = {64: 8, 16: 32}  # training cases: epochs, so that each run takes 256 steps
SEEDS = (0, 1, 2)
TEST_CASES = 32
SPARE = 2  # cases for the validation that a training needs; no result depends on them
PROTOCOL = (  # small enough for two CPU cores
    "spacing=[6, 6, 6]",
    "roi_size=[40, 40, 24]",
    "network_def#channels=[8, 16, 32, 64]",
    "network_def#strides=[2, 2, 2]",
    "network_def#deep_supervision=0",
    "learning_rate=0.005",
    "val_interval=1000",  # the last weights count: none are chosen by validation
    "patience=1000",
)


def command(*words: object) -> None:
    """Run `monai-attn`, or stop."""
    line = [sys.executable, "-m", "monai_attn", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(line)}\n{done.stderr[-2000:]}")


def make_data(work: Path) -> None:
    """The phantoms: seeds from 1000 train, from 2000 test; and datalists of each size."""
    for name, count, seed in (("train", max(SIZES) + SPARE, 1000), ("test", TEST_CASES, 2000)):
        if not (work / name / "dataset.json").is_file():
            command("phantom", work / name, "-n", count, "--seed", seed)
    listed = json.loads((work / "train" / "dataset.json").read_text())["training"]
    for size in SIZES:
        cases = [{key: str(work / "train" / case[key]) for key in case} for case in listed]
        chosen = {"training": cases[:size], "validation": cases[max(SIZES) :]}
        (work / f"train{size}.json").write_text(json.dumps(chosen))


def gates_of(size: int) -> dict[str, tuple[str, ...]]:
    """Return the compared gates for a number of cases: name to the words that `train` takes."""
    return GATES | HARD_GATES if size == max(SIZES) else GATES


def run_name(gate: str, size: int, seed: int) -> str:
    """The folder of one training."""
    return f"{gate.replace(', ', '_').replace(' ', '_')}_{size}_{seed}"


def train(work: Path, gate: str, size: int, seed: int) -> None:
    """One training, and the scores of the test cases."""
    run = work / "runs" / run_name(gate, size, seed)
    if not (run / "seconds.json").is_file():
        options = [word for setting in PROTOCOL for word in ("--set", setting)]
        start = time.perf_counter()
        command(
            *("train", work / f"train{size}.json", "-o", run, "--epochs", SIZES[size]),
            *("--seed", seed, "--cache", work / "cache", *options, *gates_of(size)[gate]),
            *(["--resume"] if (run / "run.json").is_file() else []),
        )
        (run / "seconds.json").write_text(json.dumps(time.perf_counter() - start))
    if not (run / "test" / "scores.json").is_file():
        images = work / "test" / "imagesTr"
        attention = ["--attention"] if gate in HARD_GATES else []
        command("segment", images, "-o", run / "test", "--bundle", run, "--resume", *attention)
        command(
            *("evaluate", run / "test", work / "test" / "labelsTr"),
            *("-o", run / "test" / "scores.json"),
        )


def report(work: Path) -> dict[str, object]:
    """All there is to say of what has run so far."""
    rows, pairs = [], []
    for size in SIZES:
        runs = {
            gate: [work / "runs" / run_name(gate, size, seed) / "test" for seed in SEEDS]
            for gate in gates_of(size)
        }
        runs = {g: [r for r in found if (r / "scores.json").is_file()] for g, found in runs.items()}
        for gate, found in runs.items():
            rows += [_row(gate, size, found)] if found else []
        for gate, found in runs.items():
            if gate != "none" and found and runs["none"]:
                differences = compare_scores(read_runs(runs["none"]), read_runs(found))
                pairs += [{"cases": size, "gate": gate, **vars(one)} for one in differences]
    return {"torch": torch.__version__, "runs": rows, "against none": pairs}


def tables(found: dict[str, object]) -> str:
    """The report as Markdown: the runs, and each gate against none."""
    lines = [
        "| gate | cases | Dice | recall | precision | MSD mm | NSD 2 mm | attention | parameters | min |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found["runs"]:
        cells = [
            f"{mean(row[name]):.3f} ({min(row[name]):.3f} to {max(row[name]):.3f})"
            for name in ("dice", "recall", "precision")
        ]
        cells += [f"{mean(row[name]):.2f}" for name in ("surface_distance_mm", "nsd_2mm")]
        levels = row["selected"][0]
        cells += [", ".join(f"{mean(run[k] for run in row['selected']):.2f}" for k in levels)]
        cells += [f"{row['parameters']:,}", f"{mean(row['seconds']) / 60:.1f}"]
        lines.append(f"| {row['gate']} | {row['cases']} | {' | '.join(cells)} |")
    lines += [
        "",
        "| gate | training cases | metric | without | with | difference | 95 % interval | p | better in |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found["against none"]:
        cells = [f"{row[name]:.4f}" for name in ("mean_a", "mean_b")]
        cells += [f"{row['difference']:+.4f}", f"{row['low']:+.4f} to {row['high']:+.4f}"]
        cells += [f"{row['p']:.3g}", f"{row['n_better']} of {row['n']}"]
        lines.append(f"| {row['gate']} | {row['cases']} | {row['metric']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _row(gate: str, size: int, found: list[Path]) -> dict[str, object]:
    runs = [summarize(scores)["mean"]["1"] for scores in read_runs(found).values()]
    network = open_bundle(found[0].parent, "cpu", backend="eager").network
    return {
        "gate": gate,
        "cases": size,
        "seeds": len(found),
        "parameters": sum(p.numel() for p in network.parameters()),
        "selected": [_selected(run) for run in found],
        "seconds": [json.loads((run.parent / "seconds.json").read_text()) for run in found],
        **{
            name: [run[name] for run in runs]
            for name in ("dice", "precision", "recall", "surface_distance_mm", "hd95_mm", "nsd_2mm")
        },
    }


def _selected(run: Path) -> dict[str, float]:
    """The mean attention of each level over what was looked at, if maps were written."""
    levels: dict[str, list[float]] = {}
    for path in sorted(run.glob("*_attention_*.nii.gz")):
        attention = np.asarray(nib.load(path).dataobj)
        levels.setdefault(path.name[-8], []).append(float(attention[attention >= 0].mean()))
    return {level: mean(values) for level, values in levels.items()}


def main() -> None:
    """Run what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--report", action="store_true", help="only report what has run so far")
    args = parser.parse_args()
    work = args.work.absolute()
    if not args.report:
        make_data(work)
        for seed in SEEDS:  # so that an early end leaves whole seeds
            for size in SIZES:
                for gate in gates_of(size):
                    train(work, gate, size, seed)
                    print(run_name(gate, size, seed), flush=True)
    found = report(work)
    (work / "evidence.json").write_text(json.dumps(found, indent=2) + "\n")
    print(tables(found))


if __name__ == "__main__":
    main()
