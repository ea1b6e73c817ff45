"""What focus mode loses: its Dice against that of all windows, on phantoms the weights never saw.

python -m tests.benchmarks.focus [COUNT] [SEED]
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

from monai_attn.bundle import open_bundle
from monai_attn.data.cases import find_cases
from monai_attn.data.phantom import write_phantoms
from monai_attn.data.volume import case_name, write_labels
from monai_attn.evaluation import evaluate_files


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    dice, seconds, fallbacks = {"full": [], "focus": []}, {"full": [], "focus": []}, 0
    bundles = {mode: open_bundle(mode=mode) for mode in dice}
    with tempfile.TemporaryDirectory() as folder:
        for case in range(count):
            made = Path(folder, str(case))
            write_phantoms(made, 1, seed=seed + case)
            (files,) = find_cases(made)
            for mode, bundle in bundles.items():
                start = time.perf_counter()
                result = bundle.segmenter(files["image"])
                seconds[mode].append(time.perf_counter() - start)
                labels = made / f"{case_name(files['image'])}_{mode}.nii.gz"
                write_labels(labels, result.labels, like=result.scan)
                (score,) = evaluate_files(labels, files["label"])
                dice[mode].append(score.dice)
                fallbacks += mode == "focus" and bool(result.plan.fallback)
    table = Table("mode", "mean Dice", "lowest", "mean s per scan")
    for mode, scores in dice.items():
        table.add_row(
            mode, f"{mean(scores):.4f}", f"{min(scores):.4f}", f"{mean(seconds[mode]):.1f}"
        )
    console = Console(width=100)
    console.print(table)
    missed = sum(score == 0 for score in dice["focus"])
    console.print(
        f"{count} phantoms from seed {seed}: {fallbacks} fell back to full, {missed} missed"
    )


main()
