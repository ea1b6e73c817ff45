"""A backend of ONNX Runtime in float32, without its telemetry."""

from __future__ import annotations

import logging
import os
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import nn

from monai_attn.inference.backends.network_outputs import AsTuple, Run, one_by_one

OPSET = 18


def library() -> ModuleType:
    """Import ONNX Runtime without its telemetry.

    Its official builds send events from the import on and store an identifier in the home folder. An
    environment variable, read once at the import, is the only full opt-out (its Privacy.md); its former
    value is restored afterwards. If the program has imported onnxruntime before, only later events can
    be stopped.
    """
    name = "ORT_DISABLE_TELEMETRY"
    before = {name: os.environ[name]} if name in os.environ else {}
    os.environ[name] = "1"
    try:
        import onnxruntime
    finally:
        del os.environ[name]
        os.environ.update(before)
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def export(network: nn.Module, window: tuple[int, ...], device: torch.device) -> bytes:
    """Export the network for one window (C, *roi) as an ONNX model.

    Raises:
        RuntimeError: if torch cannot export it.
    """
    chatty = logging.getLogger("torch.onnx")  # reports packages that are not needed here
    level = chatty.level
    chatty.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from the exporter about its own parts
            program = torch.onnx.export(
                AsTuple(network),
                (torch.zeros(1, *window, device=device),),
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
            )
    finally:
        chatty.setLevel(level)
    if program is None:
        raise RuntimeError("torch made no ONNX program")
    return program.model_proto.SerializeToString()


def load(blob: bytes, window: tuple[int, ...], device: torch.device, *, single: bool) -> Run:
    """Load the result of `export`, ready to run."""
    onnxruntime = library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # only errors
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    session = onnxruntime.InferenceSession(blob, options, providers=providers)
    name = session.get_inputs()[0].name
    return one_by_one(lambda array: session.run(None, {name: array}), window, single=single)
