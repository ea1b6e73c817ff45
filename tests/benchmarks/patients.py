"""Cross-validated trainings on patients that differ in one thing: the gate, or another choice.

    python -m tests.benchmarks.patients WORK gates
    python -m tests.benchmarks.patients WORK gates --dims 3
    python -m tests.benchmarks.patients WORK norms --dims 3
    python -m tests.benchmarks.patients WORK choices

WORK is the folder in which `tests.benchmarks.real_ct` has prepared the patients; what this makes lies in
`WORK/small_2d` and `WORK/small_3d`, and what exists is not made again. Each variation is trained with every
seed on every fold by patient. All see the same windows, which the bundle's training transforms have cut and
varied once for each grid, range and number of slices, in an order that the seed decides; the last weights
count. A held-out patient is scored on the
network's grid in the slices whose label is known: the Dice as it is, the Dice with all gates held open, and
the mean attention in the pancreas beside that of the whole picture.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from monai.losses import DeepSupervisionLoss
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from monai_attn.datasets.ignore import IGNORED
from monai_attn.io.files import atomic_write
from monai_attn.metrics.comparison import compare_scores
from monai_attn.metrics.label_scores import score_labels
from monai_attn.metrics.scores import CaseScore
from monai_attn.networks import AttentionUNet, SampledOutput
from monai_attn.networks.gate_ablation import open_gates
from monai_attn.networks.gates import hard_gates
from tests.benchmarks.patients_data import (
    data_folder,
    load_or_make,
    patients,
    phantoms,
    volume_of,
    windows_of,
)
from tests.benchmarks.patients_protocols import COMPARED, LOSSES, PROTOCOLS, Protocol, Variations
from tests.benchmarks.real_ct import FOLDS, Case

SEEDS = (0, 1, 2)
TEMPERATURES = (1.0, 0.2)  # of hard gates, from the first step to the last


def build(protocol: Protocol, dims: int) -> AttentionUNet:
    """The network of a protocol."""
    network = AttentionUNet(
        dims,
        in_channels=protocol.slice_channels,
        out_channels=2,
        channels=protocol.channels,
        strides=[2] * (len(protocol.channels) - 1),
        gate=protocol.gate,
        norm=protocol.norm,
        deep_supervision=protocol.deep_supervision,
    )
    formats = {2: torch.channels_last, 3: torch.channels_last_3d}
    return network.to(memory_format=formats[dims])  # faster, to the same numbers


def order(count: int, batch: int, steps: int, seed: int) -> Iterator[Tensor]:
    """The windows of each step: all of them before any comes again, alike for all variations."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(left) < batch:
            left = torch.cat([left, torch.randperm(count, generator=generator)])
        yield left[:batch]
        left = left[batch:]


def train(
    network: AttentionUNet, images: Tensor, labels: Tensor, protocol: Protocol, seed: int
) -> None:
    """Train with a learning rate that rises over a tenth of the steps and falls along a cosine."""
    loss = DeepSupervisionLoss(LOSSES[protocol.loss]())  # of the finest level if it is the only one
    chosen = hard_gates(network)  # straight-through: their loss is that of the labels
    optimizer = torch.optim.AdamW(network.parameters(), lr=protocol.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, protocol.learning_rate, protocol.steps, pct_start=0.1, cycle_momentum=False
    )
    average = None
    if protocol.average_steps:
        decay = get_ema_multi_avg_fn(1 - 1 / protocol.average_steps)
        average = AveragedModel(network, multi_avg_fn=decay, use_buffers=True)
    network.train()
    first, last = TEMPERATURES
    for step, rows in enumerate(order(len(images), protocol.batch, protocol.steps, seed)):
        for gate in chosen:
            gate.temperature = first * (last / first) ** (step / max(1, protocol.steps - 1))
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(images[rows].float())
            logits = outputs.logits if isinstance(outputs, SampledOutput) else outputs
        optimizer.zero_grad()
        loss(logits, labels[rows]).backward()
        optimizer.step()
        schedule.step()
        if average:
            average.update_parameters(network)
    if average:
        network.load_state_dict(average.module.state_dict())


@torch.inference_mode()
def predict(network: nn.Module, image: Tensor) -> tuple[np.ndarray, list[np.ndarray]]:
    """The labels (X, Y, Z) of a volume (C, X, Y, Z) and the attention of each level, finest first."""
    sliced = network.heads[0].weight.dim() == 4
    batch = image.permute(3, 0, 1, 2) if sliced else image[None]
    with torch.autocast("cpu", torch.bfloat16):
        logits, maps = network.forward_with_attention(batch)

    def whole(volumes: Tensor) -> np.ndarray:
        one = volumes.permute(1, 2, 3, 0) if sliced else volumes[0]
        return one.float().numpy()

    full = [
        whole(nn.functional.interpolate(one.float(), size=batch.shape[2:], mode="nearest"))[0]
        for one in maps
    ]
    return whole(logits).argmax(axis=0).astype(np.uint8), full


def examine(
    network: AttentionUNet, image: Tensor, label: Tensor, patient: str, protocol: Protocol
) -> dict[str, Any]:
    """The scores of a held-out patient, from image (C, X, Y, Z) and label (1, X, Y, Z)."""
    reference = label[0].numpy()
    ignored = IGNORED if (reference == IGNORED).any() else None
    labels, maps = predict(network, image)

    def score(found: np.ndarray) -> CaseScore:
        return score_labels(
            found, reference, protocol.spacing, case=patient, labels=[1], ignore=ignored
        )[0]

    result: dict[str, Any] = {"score": asdict(score(labels)), "open_dice": None, "attention": []}
    if network.gated_levels:
        opened, _ = predict(open_gates(network, network.gated_levels), image)
        organ, known = reference == 1, reference != IGNORED
        result["open_dice"] = score(opened).dice
        result["attention"] = [
            {"inside": float(one[organ].mean()), "mean": float(one[known].mean())} for one in maps
        ]
    return result


def run(work: Path, dims: int, name: str, fields: dict[str, Any], seed: int, fold: int) -> None:
    """One training and the scores of its held-out patients."""
    target = work / f"small_{dims}d" / f"{slug(name)}_{seed}_{fold}.json"
    protocol = replace(PROTOCOLS[dims], **fields)
    if target.is_file():
        if json.loads(target.read_text(encoding="utf-8"))["protocol"] != stated(protocol):
            sys.exit(f"error: {target}: of another protocol. Move the folder away.")
        return
    data, everyone = data_folder(work, dims, protocol), patients(work)

    def pool(several: dict[str, list[Case]]) -> tuple[Tensor, Tensor]:
        pools = [
            load_or_make(data / f"{name}_windows.pt", partial(windows_of, cases, protocol))
            for name, cases in several.items()
        ]
        images, labels = (torch.cat(parts) for parts in zip(*pools, strict=True))
        return images, labels

    training = {name: cases for name, (its, cases) in everyone.items() if its != fold}
    if protocol.phantoms == "mixed in":
        training |= phantoms(work)
    pools = [pool(training)]
    if protocol.phantoms == "first":
        pools.insert(0, pool(phantoms(work)))
    torch.manual_seed(seed)
    network = build(protocol, dims)
    start = time.perf_counter()
    for images, labels in pools:
        train(network, images, labels, protocol, seed)
    seconds = time.perf_counter() - start
    network.eval()
    examined = []
    for patient, (its, cases) in everyone.items():
        if its == fold:
            path = data / f"{patient}_volume.pt"
            volume = load_or_make(path, partial(volume_of, cases[0], protocol))
            examined.append(examine(network, *volume, patient, protocol))
    found = {"name": name, "seed": seed, "fold": fold, "seconds": seconds, "patients": examined}
    found["protocol"] = stated(protocol)
    with atomic_write(target) as file:
        file.write((json.dumps(found, indent=1) + "\n").encode())
    dice = fmean(one["score"]["dice"] for one in examined)
    print(f"{target.stem}: Dice {dice:.3f}, {seconds:.0f} s", flush=True)


def stated(protocol: Protocol) -> dict[str, Any]:
    """Return the fields of a protocol as JSON gives them back."""
    fields: dict[str, Any] = json.loads(json.dumps(asdict(protocol)))
    return fields


def slug(name: str) -> str:
    """A name as a file has it."""
    return "_".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def results(folder: Path, name: str) -> dict[str, list[dict[str, Any]]]:
    """The patients of all folds by seed; a seed that lacks a fold is left out."""
    found = {}
    for seed in SEEDS:
        paths = [folder / f"{slug(name)}_{seed}_{fold}.json" for fold in range(FOLDS)]
        if all(path.is_file() for path in paths):
            folds = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
            found[str(seed)] = [patient for one in folds for patient in one["patients"]]
    return found


def table(folder: Path, variations: Variations) -> str:
    """Tabulate the finished trainings in Markdown; differences are to the first, over shared seeds."""
    first = next(iter(variations))
    lines = [
        f"| | Dice of each seed | Difference to {first} | 95 % interval | p | Better in "
        "| Attention inside / mean | Gates open |",
        "|---|---|---|---|---|---|---|---|",
    ]
    base = results(folder, first)
    for name in variations:
        seeds = results(folder, name)
        shared = sorted(seeds.keys() & base.keys())
        if not shared:
            continue
        sides = [
            {seed: [CaseScore(**one["score"]) for one in side[seed]] for seed in shared}
            for side in (base, seeds)
        ]
        means = [fmean(score.dice for score in found) for found in sides[1].values()]
        cells = [name, ", ".join(f"{dice:.3f}" for dice in means)]
        if name == first:
            cells += [""] * 4
        else:
            row = compare_scores(*sides, metrics=["dice"])[0]
            cells += [f"{row.difference:+.3f}", f"{row.low:+.3f} to {row.high:+.3f}"]
            cells += [f"{row.p:.2g}", f"{row.n_better} of {row.n}"]
        everyone = [patient for seed in shared for patient in seeds[seed]]
        levels = zip(*[patient["attention"] for patient in everyone], strict=True)
        shares = [
            [fmean(one[key] for one in level) for key in ("inside", "mean")] for level in levels
        ]
        cells += [", ".join(f"{inside:.2f} / {mean:.2f}" for inside, mean in shares)]
        opened = [patient["open_dice"] for patient in everyone if patient["attention"]]
        cells += [f"{fmean(opened):.3f}" if opened else ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder that real_ct has prepared")
    parser.add_argument("compared", choices=COMPARED)
    parser.add_argument("--dims", type=int, choices=PROTOCOLS, default=2)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of the seeds")
    parser.add_argument("--report", action="store_true", help="only report what has run so far")
    given = parser.parse_args()
    if given.compared == "choices" and given.dims == 3:
        parser.error("the choices are of the 2D network")
    variations = COMPARED[given.compared]
    if not given.report:
        for seed in SEEDS[: given.seeds]:  # so that an early end leaves whole seeds
            for fold in range(FOLDS):
                for name, fields in variations.items():
                    run(given.work, given.dims, name, fields, seed, fold)
    print(table(given.work / f"small_{given.dims}d", variations))


if __name__ == "__main__":
    main()
