"""The peak of a device in dense matrix products, from its data sheet or measured."""

from __future__ import annotations

import time
from statistics import median

import torch

from tests.benchmarks.gpu_rows import synchronize

# TFLOP/s without sparsity, by words of the device's name as torch reports it; the first row that fits counts.
# Where a data sheet has only figures with sparsity, these are halved. float32 means TF32, in which cuDNN
# convolves float32 by default. Sources, all of NVIDIA: "H200 Tensor Core GPU" data sheet (SXM, NVL),
# "H100 Tensor Core GPU" data sheet (SXM, PCIe, NVL), "A100 Tensor Core GPU" data sheet, "L40S" data sheet,
# "L4 Tensor Core GPU" data sheet.
SHEETS = (
    (("H200", "NVL"), {"bfloat16": 835.5, "float16": 835.5, "float32": 417.5}),
    (("H200",), {"bfloat16": 989.0, "float16": 989.0, "float32": 494.5}),
    (("H100", "PCIe"), {"bfloat16": 756.5, "float16": 756.5, "float32": 378.0}),
    (("H100", "NVL"), {"bfloat16": 835.5, "float16": 835.5, "float32": 417.5}),
    (("H100",), {"bfloat16": 989.0, "float16": 989.0, "float32": 494.5}),
    (("A100",), {"bfloat16": 312.0, "float16": 312.0, "float32": 156.0}),
    (("L40S",), {"bfloat16": 362.0, "float16": 362.0, "float32": 183.0}),
    (("L4",), {"bfloat16": 121.0, "float16": 121.0, "float32": 60.0}),
)


def sheet_peak(name: str, precision: str) -> float | None:
    """Return the TFLOP/s of a device by its data sheet; None for a device that is not in the table.

    Example:
        >>> sheet_peak("NVIDIA A100-SXM4-80GB", "bfloat16"), sheet_peak("NVIDIA T4", "float16")
        (312.0, None)
    """
    words = name.replace("-", " ").split()
    for needed, rates in SHEETS:
        if all(word in words for word in needed):
            return rates.get(precision)
    return None


def share_of_peak(flop: float, seconds: float, peak: float) -> float:
    """Return the share, 0 to 1, of a peak in TFLOP/s that work in this time has."""
    return flop / seconds / 1e12 / peak


def timed(call, device: str, repeats: int) -> float:
    """Return the median seconds of a call, after two that do not count."""
    for _ in range(2):
        call()
    times = []
    for _ in range(repeats):
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return median(times)


def matmul_rate(device: str, dtype: torch.dtype, size: int, repeats: int = 5) -> float:
    """Return the measured TFLOP/s of a square matrix product of random values; float32 as TF32 on a GPU."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        return 2 * size**3 / timed(lambda: a @ b, device, repeats) / 1e12
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def copy_rate(device: str, mib: int, repeats: int = 5) -> float:
    """Return the measured GB/s of a copy within the device's memory, read and written bytes together."""
    source = torch.rand(mib * 2**18, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / timed(lambda: target.copy_(source), device, repeats) / 1e9
