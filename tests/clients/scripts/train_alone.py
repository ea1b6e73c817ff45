"""Train a bundle's weights at each site alone, on as many epochs as in the federation.

python train_alone.py BUNDLE DATA OUTPUT SETTINGS
"""

import json
import sys
from pathlib import Path

from monai.bundle import ConfigWorkflow

bundle, data, output = (Path(word) for word in sys.argv[1:4])
for name in ("site-1", "site-2"):
    folders = {key: str(output / name / key) for key in ("cache_dir", "log_dir", "output_dir")}
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "train.json"),
        logging_file=False,
        bundle_root=str(bundle),
        dataset_dir=str(data / name),
        ckpt_dir=str(output / name),
        pretrained=str(bundle / "models" / "model.pt"),
        val_interval=1000,  # without a validation the last weights are kept
        **folders,
        **json.loads(sys.argv[4]),
    )
    workflow.initialize()
    workflow.run()
