"""A bundle opened by its configs, or run in a process of its own, for tests."""

import json
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigParser

from monai_attn import DEFAULT_BUNDLE

SLICE_BUNDLE = f"{DEFAULT_BUNDLE}_2d"


def bundle_run(*arguments, cwd, ranks=0):
    """`python -m monai.bundle run`, or the same under torchrun on CPU ranks."""
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}", "-m"]
    command = [sys.executable, "-m", *(torchrun if ranks else []), "monai.bundle", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,  # ranks could wait for each other
    )


def assert_on_the_grid_of(labels, scan):
    labels, scan = nib.load(labels), nib.load(scan)
    assert labels.shape == scan.shape
    np.testing.assert_array_equal(labels.affine, scan.affine)
    assert labels.get_data_dtype() == np.uint8
    assert set(np.unique(labels.dataobj)) <= {0, 1}


def opened(root, *names):
    parser = ConfigParser()
    parser.read_config([root / "configs" / f"{name}.json" for name in names])
    parser.read_meta(root / "configs" / "metadata.json")
    parser["bundle_root"] = str(root)
    return parser


def edit_config(root, config, values):
    """Change values of a bundle's config, by their ids."""
    path = root / "configs" / f"{config}.json"
    content = json.loads(path.read_text())
    for key, value in values.items():
        *parents, last = key.split("#")
        section = content
        for parent in parents:
            section = section[parent]
        section[last] = value
    path.write_text(json.dumps(content))


def random_window(root):
    """A batch of one window of random values, of the size that a bundle takes."""
    parser = opened(root, "inference")
    return torch.rand(1, parser.get("slice_channels", 1), *parser["roi_size"])
