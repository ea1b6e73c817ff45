"""Selection of a backend: the fastest that is installed and agrees with torch."""

from __future__ import annotations

import json
import logging
import platform
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from monai_attn.inference.backends import eager, onnxruntime, openvino
from monai_attn.inference.backends.cache import Cache, Entry
from monai_attn.inference.backends.network_digest import digest_network
from monai_attn.inference.backends.network_outputs import Outputs, Run, as_tuple
from monai_attn.inference.backends.parity import compare, synthetic_window
from monai_attn.io.errors import reason
from monai_attn.io.files import sha256_of

BACKENDS = ("auto", "eager", "compile", "openvino", "onnxruntime", "tensorrt")
PRECISIONS = ("auto", "float32", "bfloat16", "int8")

# Fastest first, by the time of one window of the pancreas bundle on an x86 CPU with bfloat16 units.
ORDER = {
    "cpu": (
        ("openvino", "bfloat16"),
        ("openvino", "float32"),
        ("eager", "bfloat16"),
        ("onnxruntime", "float32"),
        ("eager", "float32"),
    ),
    "cuda": (
        ("tensorrt", "bfloat16"),
        ("tensorrt", "float32"),
        ("eager", "bfloat16"),
        ("eager", "float32"),
    ),
}
DEVICES = {"openvino": ("cpu",), "tensorrt": ("cuda",)}  # the others run on both
FLOAT32_ONLY = ("onnxruntime",)
PACKAGES = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
    "tensorrt": ("torch_tensorrt",),
}
INSTALL = {
    "openvino": "pip install 'monai-attn[openvino]'",
    "onnxruntime": "pip install 'monai-attn[onnx]'",
    "tensorrt": "pip install torch-tensorrt",
}


log = logging.getLogger(__name__)


class InexactError(ValueError):
    """A backend whose outputs differ too much from those of eager float32."""


@dataclass(frozen=True)
class Backend:
    """A network that is ready to run.

    Attributes:
        name: one of `BACKENDS`, not `auto`.
        precision: `float32`, `bfloat16` or `int8` for the computation; the outputs are float32.
        run: function from windows (B, C, *roi) to the network's outputs.
    """

    name: str
    precision: str
    run: Run

    def __call__(self, windows: Tensor) -> Outputs:
        """Return the network's outputs in float32, without gradients, on the device of the windows.

        Args:
            windows: a batch of any size (B, C, *roi), with the roi of `load_backend`.

        Returns:
            The logits (B, out_channels, *roi), or a tuple of them and the network's further outputs. A
            later call does not change them.
        """
        return self.run(windows)


def installed_backends() -> list[str]:
    """Return the backends whose packages are installed."""
    named = [name for name in BACKENDS if name != "auto"]
    return [name for name in named if all(map(_found, PACKAGES.get(name, ())))]


def load_backend(
    network: nn.Module,
    window: tuple[int, ...],
    *,
    name: str = "auto",
    precision: str = "auto",
    device: torch.device = torch.device("cpu"),  # noqa: B008  a constant
    cache: Path | None = None,
    int8: Path | None = None,
) -> Backend:
    """Make a network ready to run, compiled if that is faster.

    `auto` takes the first of `ORDER` that is installed and agrees with eager float32 on a synthetic
    window. It warns about each that fails, but for one that is only not exact enough in bfloat16. For a
    name, `precision="auto"` is bfloat16 if the device has units for it and the result agrees, else float32.
    The compiled network and the result of the comparison are cached: neither is computed again.

    Args:
        network: on the device, in eval mode; from (B, C, *roi) to logits, or to a tuple or list of
            logits and further tensors, such as attention maps on coarser grids.
        window: (C, *roi), the channels and voxels of one window.
        name: one of `BACKENDS`.
        precision: one of `PRECISIONS`.
        device: device of the windows.
        cache: the folder for compiled networks, made with access for the user only; by default the
            user's cache folder. Delete it to free its space.
        int8: the file that `quantize` wrote for this network, for the precision `int8`.

    Raises:
        ValueError: if a name is unknown, the backend is not installed, does not run on the device or in
            the precision, cannot take the network, or does not agree with eager float32.

    Example:
        >>> from monai_attn import AttentionUNet
        >>> net = AttentionUNet(3, in_channels=1, out_channels=2).eval()
        >>> backend = load_backend(net, (1, 32, 32, 32), name="eager", precision="float32")
        >>> backend(torch.rand(2, 1, 32, 32, 32)).shape
        torch.Size([2, 2, 32, 32, 32])
    """
    if network.training:
        raise ValueError("network (training=True) must be in eval mode: call its eval() first")
    if precision == "int8" and int8 is None:
        raise ValueError("precision (='int8') needs a quantised network: make one by quantize")
    wanted = plan(
        name,
        precision,
        device.type,
        installed=installed_backends(),
        bfloat16=eager.has_bfloat16(device),
    )
    loader = _Loader(network, tuple(window), device, cache, int8)
    why, expected = "", False
    for choice in wanted:
        if why and expected:
            log.info("%s; trying %s", why, " in ".join(choice))
        elif why:
            warnings.warn(f"{why}; trying {' in '.join(choice)}", RuntimeWarning, stacklevel=2)
        try:
            return loader.load(*choice)
        except Exception as error:  # a compiler can raise anything
            cause, why = error, f"backend {' in '.join(choice)}: {reason(error)}"
            expected = isinstance(error, InexactError) and choice[1] == "bfloat16"
    raise ValueError(why) from cause


def check_known(name: str, precision: str) -> None:
    """Check the names of a backend and a precision.

    Raises:
        ValueError: if one is unknown.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend (={name!r}) must be one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision (={precision!r}) must be one of {', '.join(PRECISIONS)}")


def plan(
    name: str, precision: str, device: str, *, installed: Collection[str], bfloat16: bool
) -> list[tuple[str, str]]:
    """Return the backends to try and the precision of each, in order.

    Args:
        name: one of `BACKENDS`.
        precision: one of `PRECISIONS`.
        device: a torch device type.
        installed: the installed backends.
        bfloat16: whether the device has bfloat16 units.

    Raises:
        ValueError: if nothing is left to try.
    """
    check_known(name, precision)
    if precision == "bfloat16" and not bfloat16:
        raise ValueError(
            f"precision (='bfloat16') needs a {device} with bfloat16 units; use float32 or auto"
        )
    if precision == "int8":
        if name not in ("auto", "openvino") or device != "cpu":
            raise ValueError(
                f"precision (='int8') needs backend openvino on a cpu (got {name} on {device})"
            )
        name = "openvino"
    if name == "auto":
        choices = [c for c in ORDER.get(device, ORDER["cpu"][-1:]) if c[0] in installed]
    else:
        if name in FLOAT32_ONLY and precision == "bfloat16":
            raise ValueError(
                f"backend (={name!r}) computes in float32; use precision float32 or auto"
            )
        if device not in DEVICES.get(name, (device,)):
            raise ValueError(
                f"backend (={name!r}) runs on {DEVICES[name][0]}, not on {device}; use eager or auto"
            )
        if name not in installed:
            raise ValueError(f"backend (={name!r}) is not installed; {INSTALL[name]}")
        precisions = ("int8",) if precision == "int8" else ("bfloat16", "float32")
        choices = [(name, p) for p in precisions if p == "float32" or name not in FLOAT32_ONLY]
    return [
        (backend, p)
        for backend, p in choices
        if precision in ("auto", p) and (bfloat16 or p != "bfloat16")
    ]


class _Loader:
    """A loader of several backends of one network, which computes their common parts once."""

    def __init__(
        self,
        network: nn.Module,
        window: tuple[int, ...],
        device: torch.device,
        folder: Path | None,
        int8: Path | None,
    ) -> None:
        self.network, self.window, self.device, self.folder = network, window, device, folder
        self.int8 = int8

    @cached_property
    def cache(self) -> Cache:
        return Cache(self.folder)

    @cached_property
    def digest_network(self) -> str:
        return digest_network(self.network)

    @cached_property
    def example(self) -> Tensor:
        return synthetic_window(self.window).to(self.device)

    @cached_property
    def reference(self) -> Outputs:
        return eager.eager(self.network, "float32", self.device)(self.example)

    def load(self, name: str, precision: str) -> Backend:
        """Load the backend, from the cache if possible.

        Raises:
            InexactError: if it does not agree with eager float32.
        """
        if (name, precision) == ("eager", "float32"):  # the others are compared with it
            return Backend(name, precision, eager.eager(self.network, precision, self.device))
        key = self.key(name, precision)
        entry = self.cache.read(key)
        run = None
        if entry is not None and entry.parity.agrees(precision):
            try:
                run = self.start(name, precision, entry.blob, single=entry.single)
            except Exception:  # the library changed without its version: build it again
                entry = None
        if entry is None:
            blob, single = self.export(name, precision), isinstance(self.reference, Tensor)
            run = self.start(name, precision, blob, single=single)
            parity = compare(as_tuple(run(self.example)), as_tuple(self.reference))
            entry = Entry(blob, single, parity)
            self.cache.write(key, entry)
        if run is None or not entry.parity.agrees(precision):
            raise InexactError(entry.parity.describe(precision))
        return Backend(name, precision, run)

    def export(self, name: str, precision: str) -> bytes:
        """Return the compiled network for the cache; empty if there is nothing to store."""
        if precision == "int8" and self.int8:
            return openvino.export_int8(self.int8, self.window, len(as_tuple(self.reference)))
        if name == "openvino":
            return openvino.export(self.network, self.window, precision)
        if name == "onnxruntime":
            return onnxruntime.export(self.network, self.window, self.device)
        return b""

    def start(self, name: str, precision: str, blob: bytes, *, single: bool) -> Run:
        """Return the backend, ready to run."""
        if name == "openvino":
            return openvino.load(blob, self.window, precision, single=single)
        if name == "onnxruntime":
            return onnxruntime.load(blob, self.window, self.device, single=single)
        torches: dict[str, Callable[[nn.Module, str, torch.device], Run]] = {
            "eager": eager.eager,
            "compile": eager.compiled,
            "tensorrt": eager.tensorrt,
        }
        return torches[name](self.network, precision, self.device)

    def key(self, name: str, precision: str) -> str:
        """Return a file name that changes with everything on which the compiled network depends."""
        parts = [
            self.digest_network,
            self.window,
            str(self.device),
            _hardware(self.device),
            torch.get_num_threads(),
            [(p, _version(p)) for p in ("monai-attn", "monai", "torch", *PACKAGES.get(name, ()))],
            sha256_of(self.int8, self.int8.with_suffix(".bin"))
            if precision == "int8" and self.int8
            else "",
        ]
        return f"{name}-{precision}-{sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


def _hardware(device: torch.device) -> list[str]:
    if device.type == "cuda":
        return [torch.cuda.get_device_name(device), str(torch.cuda.get_device_capability(device))]
    return [platform.machine(), platform.processor(), str(eager.cpu_flags())]


def _found(package: str) -> bool:
    return find_spec(package) is not None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # onnxruntime-gpu, for example, is imported by another name
        return ""
