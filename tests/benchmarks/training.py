"""Train with MONAI's plain bundle loop and with ours, by turns, and compare windows per second.

    python -m tests.benchmarks.training [EPOCHS] [REPEATS]

Both train the shipped network (96^3 windows at 2 mm, channels 16 to 256, deep supervision, Dice and
cross-entropy, AdamW) on the same phantoms, two windows of two cases a step, with the same augmentation.
The plain loop is what model-zoo bundles do: MONAI's transforms with their metadata, `CacheDataset`,
`DataLoader`, `SupervisedTrainer` with mixed precision where MONAI has it, a training metric. Each turn is
a process of its own; an epoch's time has loading and augmentation in it; the first, which fills the
caches, does not count.
"""

import json
import subprocess
import sys
import tempfile
import time
from statistics import median

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

from monai_attn import DEFAULT_BUNDLE, AttentionUNet
from monai_attn.bundle.find import find_bundle
from monai_attn.datasets.cases import find_cases
from monai_attn.transforms.augmentation import scan_variation
from tests.benchmarks.process import PYTHON, machine

KEYS = ("image", "label")
ROI = (96, 96, 96)
CASES = 6


def plain(data, _):
    """A trainer as a model-zoo bundle has it."""
    before = [
        T.LoadImaged(KEYS),
        T.EnsureChannelFirstd(KEYS),
        T.Orientationd(KEYS, axcodes="RAS"),
        T.Spacingd(KEYS, pixdim=(2, 2, 2), mode=("bilinear", "nearest")),
        T.ScaleIntensityRanged("image", -150, 250, 0, 1, clip=True),
        T.EnsureTyped(KEYS),
    ]
    crop = [
        T.SpatialPadd(KEYS, ROI),
        T.RandCropByPosNegLabeld(KEYS, "label", ROI, pos=1, neg=1, num_samples=2),
    ]
    vary = scan_variation(KEYS, ("bilinear", "nearest"))
    dataset = CacheDataset(find_cases(data), T.Compose([*before, *crop, *vary]), progress=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = AttentionUNet(3, 1, 2, deep_supervision=2).to(device)
    return SupervisedTrainer(
        device=device,
        max_epochs=1,
        train_data_loader=DataLoader(
            dataset, batch_size=2, shuffle=True, num_workers=4 * torch.cuda.is_available()
        ),
        network=network,
        optimizer=torch.optim.AdamW(network.parameters(), 1e-3),
        loss_function=DeepSupervisionLoss(DiceCELoss(to_onehot_y=True, softmax=True)),
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


def ours(data, folder):
    """The shipped bundle's own trainer, without validation."""
    parser = ConfigParser()
    parser.read_config(find_bundle(DEFAULT_BUNDLE) / "configs" / "train.json")
    parser["bundle_root"], parser["dataset_dir"] = folder, data
    parser["split"] = {"training": find_cases(data), "validation": find_cases(data)[:1]}
    parser["val_interval"] = 1000
    parser["epochs"] = 1
    parser["train"]["handlers"] = parser["train"]["handlers"][:2]  # the seed and the schedule
    return parser.get_parsed_content("train#trainer")


def windows_per_second(make, data, epochs):
    """After an epoch that fills the caches: the median over epochs."""
    set_determinism(0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make(data, folder)
        trainer.state.max_epochs = epochs + 1
        starts, rates = [], []
        trainer.add_event_handler(
            Events.EPOCH_STARTED, lambda _: starts.append(time.perf_counter())
        )
        trainer.add_event_handler(
            Events.EPOCH_COMPLETED,
            lambda _: rates.append(2 * CASES / (time.perf_counter() - starts[-1])),
        )
        trainer.run()
    return median(rates[1:])


def main():
    epochs, repeats = (int(word) for word in [*sys.argv[1:], "2", "3"][:2])
    with tempfile.TemporaryDirectory() as data:
        subprocess.run(
            [PYTHON, "-m", "monai_attn", "phantom", data, "-n", str(CASES)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        rates = {"plain": [], "ours": []}
        for _ in range(repeats):
            for name in rates:
                line = [PYTHON, "-m", "tests.benchmarks.training", name, data, str(epochs)]
                done = subprocess.run(line, check=True, capture_output=True, text=True)
                rates[name].append(json.loads(done.stdout.splitlines()[-1]))
    print(machine())
    for name, found in rates.items():
        print(f"{name}: {median(found):.3f} windows per second ({len(found)} runs: {found})")
    ratio = median(a / b for a, b in zip(rates["ours"], rates["plain"], strict=True))
    print(f"ours / plain: {ratio:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ("plain", "ours"):
        make = {"plain": plain, "ours": ours}[sys.argv[1]]
        print(json.dumps(windows_per_second(make, sys.argv[2], int(sys.argv[3]))))
    else:
        main()
