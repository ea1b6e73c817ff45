"""Run MONAI's AutoRunner with the Attention U-Net as its algorithm; nothing is downloaded.

python run.py input.yaml work_dir [EPOCHS]
"""

import sys
from pathlib import Path

from monai.apps.auto3dseg import AutoRunner

if __name__ == "__main__":  # the analysis of the data starts processes
    runner = AutoRunner(
        work_dir=sys.argv[2],
        input=sys.argv[1],
        algos="attentionunet",
        templates_path_or_url=str(Path(__file__).parent),
    )
    if len(sys.argv) > 3:
        runner.set_training_params({"num_epochs": int(sys.argv[3])})
    runner.run()
