"""A backend of OpenVINO on the CPU, converted from a trace and without its telemetry.

Version 2026.4.1 resizes 2 voxels to 3 differently from torch. The parity check refuses a network in which
this happens, because a window shrinks to 2 voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from monai_attn.inference.backends.network_outputs import Run, one_by_one
from monai_attn.inference.backends.trace import trace
from monai_attn.inference.missing_packages import missing_packages

# int8: of the operations that are not quantised
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


def library() -> ModuleType:
    """Import OpenVINO without its telemetry.

    `import openvino` sends an event and writes to the home folder, unless `openvino_telemetry` cannot
    be imported: then it uses its own empty stand-in. If the program has imported openvino before, this
    is too late and changes nothing.
    """
    with missing_packages("openvino_telemetry"):
        import openvino
    return openvino


@cache
def core() -> Any:
    """Return the only `openvino.Core` of this process.

    The CPU plugin of each Core sets its own signal stack, and restores the previous one when it ends
    (2026.4.1). If two Cores do not end in reverse order, the second restores the freed stack of the first,
    and the next signal, such as the end of a child process or Ctrl-C, kills the process without a message.
    """
    return library().Core()


def export(network: nn.Module, window: tuple[int, ...], precision: str) -> bytes:
    """Compile the network for one window (C, *roi) on this CPU, as input for `load`."""
    return _compile(convert(network, window), precision)


def export_int8(file: Path, window: tuple[int, ...], outputs: int) -> bytes:
    """Compile the first outputs of a quantised network, the file of `quantize`, as `export` does."""
    openvino = library()
    model = core().read_model(file)
    model = openvino.Model(model.outputs[:outputs], model.get_parameters())
    model.reshape([1, *window])
    return _compile(model, "int8")


def convert(network: nn.Module, window: tuple[int, ...]) -> Any:
    """Convert the network to an `openvino.Model` for one window (C, *roi).

    `openvino.convert_model` does more than is needed here and starts the telemetry; only a trace and
    the PyTorch frontend are needed.
    """
    library()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(trace(network, window))  # has to outlive the conversion
    model = frontend.convert(frontend.load(decoder))
    model.reshape([1, *window])  # static, and batch 1: the fastest
    return model


def _compile(model: Any, precision: str) -> bytes:
    return core().compile_model(model, "CPU", _settings(precision)).export_model().getvalue()


def load(blob: bytes, window: tuple[int, ...], precision: str, *, single: bool) -> Run:
    """Load the result of `export`, ready to run, but not by several threads at once."""
    openvino = library()
    # Without the settings it would be compiled for the CPU's preferred precision instead of its own.
    model = core().import_model(blob, "CPU", _settings(precision))
    request = model.create_infer_request()

    def infer(array: NDArray) -> Sequence[NDArray]:
        request.set_input_tensor(openvino.Tensor(array, shared_memory=True))
        request.infer()
        return [request.get_output_tensor(i).data for i in range(len(model.outputs))]

    return one_by_one(infer, window, single=single)


def _settings(precision: str) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
