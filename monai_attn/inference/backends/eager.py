"""Backends of torch itself: op by op, or through `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import (
    convert_conv2d_weight_memory_format,
    convert_conv3d_weight_memory_format,
)

from monai_attn.inference.backends.network_outputs import Outputs, Run, as_tuple

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}  # by the dimensions of a batch


def cpu_flags() -> dict[str, Any]:
    """Return the capabilities of the CPU, by name; empty if torch is too old to report them."""
    return dict(getattr(torch.cpu, "get_capabilities", dict)())


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device has bfloat16 units, so that bfloat16 is faster there than float32.

    Among CPUs this is only True for x86, since nothing was measured on others, and False with an old
    torch, which does not report it.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = cpu_flags()
    return device.type == "cpu" and bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))


def eager(network: nn.Module, precision: str, device: torch.device) -> Run:
    """Run the network under `inference_mode`, channels last, in autocast for bfloat16.

    The order of the network's weights in memory is changed to channels last, which changes no value.
    """
    return _runner(_channels_last(network), precision, device)


def compiled(network: nn.Module, precision: str, device: torch.device) -> Run:
    """Compile the network with `torch.compile`, which needs a C++ compiler and up to minutes at first.

    It is compiled again for each batch size: torch 2.13 fails at gates of unknown size. torch stores
    the compiled code in its own cache folder.
    """
    return _runner(torch.compile(_channels_last(network), dynamic=False), precision, device)


def tensorrt(network: nn.Module, precision: str, device: torch.device) -> Run:
    """Compile the network with `torch.compile` and Torch-TensorRT.

    The project's tests do not run it. It is only used after the parity check.
    """
    import_module("torch_tensorrt")  # registers itself with torch.compile
    return _runner(torch.compile(network, backend="tensorrt"), precision, device)


def _channels_last(network: nn.Module) -> nn.Module:
    network = convert_conv2d_weight_memory_format(network, torch.channels_last)
    return convert_conv3d_weight_memory_format(network, torch.channels_last_3d)


def _runner(network: Callable[[Tensor], Any], precision: str, device: torch.device) -> Run:
    autocast = precision == "bfloat16"

    def run(windows: Tensor) -> Outputs:
        layout = LAYOUTS.get(windows.dim(), torch.contiguous_format)
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast),
        ):
            outputs = network(windows.to(memory_format=layout))
            levels = tuple(level.float() for level in as_tuple(outputs))
        return levels[0] if isinstance(outputs, Tensor) else levels

    return run
