"""The network without the rest: its rate in each number format and way to run it, and what bounds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from monai_attn.bundle.open import open_bundle
from tests.benchmarks.gpu_peaks import copy_rate, matmul_rate, share_of_peak, sheet_peak, timed
from tests.benchmarks.gpu_rows import Job, Row, reason

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LAST = torch.channels_last_3d
Call = Callable[[], Any]
Way = tuple[str, str, int, Callable[[], Call]]  # name, number format, batch, what prepares it
BATCHES = {False: (1, 8), True: (1,)}  # of a quick run
TARGET = ">= 40 %"


def windows(job: Job, batch: int) -> Tensor:
    """Return random windows of the shipped bundle."""
    size = (32, 32, 16) if job.quick else (112, 112, 32)
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 1, *size, generator=generator).to(job.device)


def call(network: Callable[[Tensor], Any], x: Tensor, precision: str) -> Call:
    """Return a call of the network in a number format, by autocast."""

    def run() -> Any:
        with (
            torch.inference_mode(),
            torch.autocast(x.device.type, DTYPES[precision], enabled=precision != "float32"),
        ):
            return network(x)

    return run


def cuda_graph(network: nn.Module, x: Tensor, precision: str) -> Call:
    """Capture a call as a CUDA graph and return its replay."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    run = call(network, x, precision)
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with (
        torch.inference_mode(),
        torch.autocast("cuda", DTYPES[precision], cache_enabled=False),
        torch.cuda.graph(graph),
    ):
        network(x)
    return graph.replay


def searched(network: nn.Module, x: Tensor, precision: str) -> Call:
    """Return a call for which cuDNN searches the fastest algorithm of each convolution."""
    run = call(network, x, precision)

    def with_search() -> Any:
        before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
        try:
            return run()
        finally:
            torch.backends.cudnn.benchmark = before

    return with_search


def ways(network: nn.Module, job: Job) -> Iterator[Way]:
    """Yield name, number format and batch of each way to run the network, and a function that prepares it."""
    last = deepcopy(network).to(memory_format=LAST)
    for batch in BATCHES[job.quick]:
        x = windows(job, batch)
        y = x.contiguous(memory_format=LAST)
        for precision in DTYPES:
            yield "eager", precision, batch, lambda p=precision, x=x: call(network, x, p)
            yield "channels last", precision, batch, lambda p=precision, y=y: call(last, y, p)
        half = deepcopy(last).bfloat16()
        yield (
            "channels last, weights in bfloat16",
            "bfloat16",
            batch,
            lambda h=half, y=y: call(lambda z: h(z.bfloat16()), y, "float32"),
        )
        if job.on_gpu:
            yield "cudnn.benchmark", "bfloat16", batch, lambda y=y: searched(last, y, "bfloat16")
            yield "CUDA graph", "bfloat16", batch, lambda y=y: cuda_graph(last, y, "bfloat16")


def compiled(network: nn.Module, job: Job) -> Way:
    """Return the way through `torch.compile`."""
    y = windows(job, 1).contiguous(memory_format=LAST)
    last = deepcopy(network).to(memory_format=LAST)
    return (
        "torch.compile",
        "bfloat16",
        1,
        lambda: call(torch.compile(last, dynamic=False), y, "bfloat16"),
    )


def convolution_flop(network: nn.Module, x: Tensor) -> float:
    """Return the floating point operations of the convolutions; a multiplication and an addition are two."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    counts = counter.get_flop_counts()["Global"]
    return sum(flop for operation, flop in counts.items() if "conv" in str(operation))


def layer_bytes(network: nn.Module, x: Tensor, width: int = 2) -> int:
    """Return the bytes that layers read and write, each once, with `width` bytes a value."""
    moved = 0

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal moved
        tensors = [*inputs, output, *module.parameters(recurse=False)]
        moved += sum(width * t.numel() for t in tensors if isinstance(t, Tensor))

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return moved


def convolution_share(run: Call, job: Job) -> float:
    """Return the share, 0 to 1, of the time on the device that convolutions take."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if job.on_gpu else [])]
    run()
    with profile(activities=activities) as profiler:
        run()
    field = "self_device_time_total" if job.on_gpu else "self_cpu_time_total"
    times = {event.key: getattr(event, field) for event in profiler.key_averages()}
    # kernels are listed too: only torch's operations, to which their times belong, count
    times = {key: time for key, time in times.items() if key.startswith("aten::")}
    return sum(t for key, t in times.items() if "conv" in key) / sum(times.values())


def float8(job: Job) -> Row:
    """Try a convolution in FP8."""
    name = "convolution in float8_e4m3fn"
    try:
        x, w = (torch.rand(1, 16, *([8] * 3), device=job.device) for _ in range(2))
        w = w[..., :3, :3, :3]
        F.conv3d(x.to(torch.float8_e4m3fn), w.to(torch.float8_e4m3fn))
    except Exception as error:
        note = f"not available: {reason(error)}; torch._scaled_mm multiplies matrices only"
        return Row(name, None, "", note)
    return Row(name, 1, "", "torch runs it; not used")


def training_step(network: nn.Module, job: Job, flop: float) -> Row:
    """Measure steps of 4 windows, forward and backward with the optimiser, without loading."""
    network = deepcopy(network).requires_grad_(True).to(memory_format=LAST).train()
    whole = windows(job, 4)
    x = whole[..., : whole.shape[-1] // 2].contiguous(memory_format=LAST)
    label = (x > 0.9).float()
    loss_of = DeepSupervisionLoss(DiceCELoss(to_onehot_y=True, softmax=True))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16):
            outputs = network(x)
        loss_of([out.float() for out in outputs], label).backward()
        optimizer.step()

    try:
        seconds = timed(step, job.device, 1 if job.quick else 20)
    except Exception as error:
        return Row("training steps, no loading", None, "steps/s", reason(error))
    rate = 3 * flop * x.numel() / whole[0].numel() / seconds / 1e12  # backward takes twice forward
    note = f"4 windows of {tuple(x.shape[2:])} in bfloat16, {rate:.3g} TFLOP/s"
    return Row("training steps, no loading", 1 / seconds, "steps/s", note)


@dataclass
class Peaks:
    """The peaks of a device, in TFLOP/s by number format.

    Attributes:
        device: name of the device.
        products: what matrix products reached.
    """

    device: str
    products: dict[str, float] = field(default_factory=dict)

    def find(self, precision: str) -> tuple[float, str]:
        """Return the peak and its source; 0 if none is known."""
        sheet = sheet_peak(self.device, precision)
        if sheet:
            return sheet, "the data sheet's peak"
        return self.products.get(precision, 0.0), "the measured matrix product"


def product_rows(job: Job, peaks: Peaks) -> Iterator[Row]:
    """Measure matrix products, and add them to the peaks."""
    size = 512 if job.quick else 8192 if job.on_gpu else 2048
    for precision, dtype in DTYPES.items():
        measure = f"matrix product, {precision}"
        try:
            peaks.products[precision] = matmul_rate(job.device, dtype, size)
        except Exception as error:
            yield Row(measure, None, "TFLOP/s", reason(error))
            continue
        note = f"{size}^3, random values{', TF32' * (job.on_gpu and precision == 'float32')}"
        yield Row(measure, peaks.products[precision], "TFLOP/s", note)


def way_rows(
    several: Iterable[Way], job: Job, flop: float, peaks: Peaks, shares: dict[str, float]
) -> Iterator[Row]:
    """Measure ways to run the network, and add their shares of the bfloat16 peak by name."""
    for name, precision, batch, prepare in several:
        measure = f"{name}, {precision}, batch {batch}"
        try:
            seconds = timed(prepare(), job.device, 20 if job.on_gpu else job.repeats)
        except Exception as error:
            yield Row(measure, None, "TFLOP/s", reason(error))
            continue
        peak, source = peaks.find(precision)
        share = share_of_peak(batch * flop, seconds, peak) if peak else 0.0
        note = f"{1e3 * seconds / batch:.3g} ms a window, {share:.1%} of {source}"
        yield Row(measure, batch * flop / seconds / 1e12, "TFLOP/s", note)
        if precision == "bfloat16":
            shares[measure] = share


def convolution_rows(
    network: nn.Module, job: Job, peaks: Peaks, shares: dict[str, float]
) -> Iterator[Row]:
    """Yield the part of the time that convolutions take, and their own share of the peak."""
    batch = BATCHES[job.quick][-1]
    x = windows(job, batch).contiguous(memory_format=LAST)
    last = deepcopy(network).to(memory_format=LAST)
    name = f"channels last, bfloat16, batch {batch}"
    try:
        part = convolution_share(call(last, x, "bfloat16"), job)
    except Exception as error:  # a profiler may be missing
        yield Row("time in convolutions", None, "%", reason(error))
        return
    yield Row("time in convolutions", 100 * part, "%", f"of all operations: {name}")
    if part and shares.get(name):
        note = f"{name}; of {peaks.find('bfloat16')[1]}"
        yield Row("convolutions, share of the peak", 100 * shares[name] / part, "%", note, TARGET)


def network_part(job: Job) -> Iterator[Row]:
    """Measure the rates of the device, then of the network in every way that works."""
    peaks = Peaks(torch.cuda.get_device_name() if job.on_gpu else "cpu")
    copy = copy_rate(job.device, 64 if job.quick else 4096 if job.on_gpu else 512)
    yield Row("copy within the device", copy, "GB/s", "read and written bytes")
    yield from product_rows(job, peaks)
    network = open_bundle(device=job.device, backend="eager").network.eval().requires_grad_(False)
    network = network.to(memory_format=torch.contiguous_format)
    x = windows(job, 1)
    flop = convolution_flop(network, x)
    size = " x ".join(map(str, x.shape[2:]))
    yield Row("convolutions of a window", flop / 1e9, "GFLOP", f"{size} voxels")
    moved = layer_bytes(network, x)
    note = f"{moved / 2**20:.0f} MiB in bfloat16 at the copy rate, if no layers are fused"
    yield Row("memory traffic of a window", moved / copy / 1e6, "ms", note)
    shares: dict[str, float] = {}
    yield from way_rows(ways(network, job), job, flop, peaks, shares)
    yield from convolution_rows(network, job, peaks, shares)
    if not job.on_gpu:
        for name in ("CUDA graph", "cudnn.benchmark"):
            yield Row(name, None, "TFLOP/s", "not applicable: no GPU")
    yield float8(job)
    yield training_step(network, job, flop)
    if job.quick:
        yield Row(
            "torch.compile", None, "TFLOP/s", "left out of a quick run: it compiles for minutes"
        )
    else:
        yield from way_rows([compiled(network, job)], job, flop, peaks, shares)
    if shares:
        best = max(shares, key=lambda name: shares[name])
        note = f"{best}; of {peaks.find('bfloat16')[1]}"
        yield Row("best share of the bfloat16 peak", 100 * shares[best], "%", note, TARGET)
