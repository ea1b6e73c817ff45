"""Quantisation of a network to int8, with NNCF, for OpenVINO."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from monai_attn.inference.backends.openvino import convert, library
from monai_attn.inference.missing_packages import missing_packages

PACKAGES = ("openvino", "nncf")


def check_installed() -> None:
    """Check that the packages that quantise are installed.

    Raises:
        ValueError: if one is missing.
    """
    for package in PACKAGES:
        if find_spec(package) is None:
            raise ValueError(f"{package} is not installed; pip install 'monai-attn[int8]'")


def quantize(network: nn.Module, windows: Sequence[Tensor], file: Path) -> None:
    """Quantise the convolutions of a network and write it to `file` (.xml) and a .bin of the same name.

    The range of each layer is that of its values on the windows. Needs `pip install 'monai-attn[int8]'`.

    Args:
        network: on the CPU, in eval mode, as for `load_backend`.
        windows: what the network sees, such as 40 windows (1, C, *roi) of scans that trained it.
        file: of the quantised network.
    """
    openvino = library()
    with missing_packages("openvino_telemetry"):  # it sends nothing then, as openvino
        import nncf
    # its set_log_level also changes the handlers, which need not be its own
    logging.getLogger("nncf").setLevel(logging.ERROR)
    model = convert(network, tuple(windows[0].shape[1:]))
    arrays = [window.numpy() for window in windows]
    with redirect_stdout(io.StringIO()):  # progress bars
        model = nncf.quantize(model, nncf.Dataset(arrays), subset_size=len(arrays))
    openvino.save_model(model, file, compress_to_fp16=False)
