"""Print the mean Dice of each file of weights on held-out cases, in one line.

python held_out_dice.py BUNDLE DATA WEIGHTS ...
"""

import sys
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from monai_attn.datasets import find_cases

bundle, data = Path(sys.argv[1]), Path(sys.argv[2])
parser = ConfigParser()
parser.read_config(bundle / "configs" / "train.json")
cases = [case for site in sorted(data.iterdir()) for case in find_cases(site)]
parser["split"] = {"training": [], "validation": cases}
parser["roi_size"], parser["cache_dir"] = [112, 112], str(data.parent / "cache")
network = parser.get_parsed_content("network")
evaluator = parser.get_parsed_content("validate#evaluator")
scores = []
for file in sys.argv[3:]:
    network.load_state_dict(torch.load(file, weights_only=True))
    evaluator.run()
    scores.append(evaluator.state.metrics["val_mean_dice"])
    details = evaluator.state.metric_details["val_mean_dice"].flatten().tolist()
    print(file, *(f"{score:.3f}" for score in details))
print(*scores)
