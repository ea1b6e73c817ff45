"""Declare the operators that torchvision expects when it is built for CUDA and torch is not.

Its compiled part does not load then, and its import fails, although MONAI Label calls no operator of it. A
user takes both from PyTorch's index for CPU instead. Python reads this file when the folder is on its path.
"""

from importlib.metadata import version

import torch

if torch.version.cuda is None and "+" not in version("torchvision"):
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
