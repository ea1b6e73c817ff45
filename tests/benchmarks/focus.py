"""Loss by focus mode: its Dice against that of all windows, on phantoms the weights never saw.

python -m tests.benchmarks.focus DATA_SET...     folders with labels, such as `monai-attn phantom` writes
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.cases import find_cases
from monai_attn.io.names import case_name
from monai_attn.io.writer import write_labels
from monai_attn.metrics.evaluation import evaluate_files
from tests.benchmarks.process import machine


def main():
    cases = [case for source in sys.argv[1:] for case in find_cases(source)]
    dice, seconds, faults = {"full": [], "focus": []}, {"full": [], "focus": []}, []
    bundles = {mode: open_bundle(mode=mode) for mode in dice}
    with tempfile.TemporaryDirectory() as folder:
        for files in cases:
            name = case_name(files["image"])
            for mode, bundle in bundles.items():
                start = time.perf_counter()
                result = bundle.segmenter()(files["image"])
                seconds[mode].append(time.perf_counter() - start)
                labels = write_labels(Path(folder, f"{name}.nii.gz"), result.labels, result.scan)
                (score,) = evaluate_files(labels, files["label"])
                dice[mode].append(score.dice)
                if result.plan.fallback:
                    faults.append(f"{name}: {result.plan.fallback}")
    table = Table("mode", "mean Dice", "lowest", "mean s per scan")
    for mode, scores in dice.items():
        table.add_row(
            mode, f"{mean(scores):.4f}", f"{min(scores):.4f}", f"{mean(seconds[mode]):.1f}"
        )
    console = Console(width=100)
    console.print(table)
    missed = sum(score == 0 for score in dice["focus"])
    console.print(
        f"{len(cases)} phantoms, {missed} missed, {len(faults)} fell back to full", *faults
    )
    console.print(machine())


main()
