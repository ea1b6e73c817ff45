"""The parts of `gpu` that segment a scan: with this package, cold and warm, and with its peers."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import nibabel as nib
import numpy as np
import torch

import monai_attn
from monai_attn.inference.memory import MIB
from monai_attn.inference.network_input import on_device
from monai_attn.io.scan import read_volume
from monai_attn.phantom import abdominal_phantom
from monai_attn.transforms.monai_io import as_tensor
from tests.benchmarks.body import body_voxels
from tests.benchmarks.gpu_peaks import timed
from tests.benchmarks.gpu_rows import Job, Row, device_peak_rows, each, median_row, reason
from tests.benchmarks.nnunet_predict import prediction
from tests.benchmarks.process import measure, ours, peer

MODES = ("full", "focus")
NOISE = 10  # HU
GIB = 2**30


def scan_part(job: Job) -> Iterator[Row]:
    """Write the scan: a phantom of half the size within a slice, doubled, with noise.

    A phantom of the whole size takes four times as long to make.
    """
    shape, spacing = (
        ((36, 36, 24), (6.0, 6.0, 6.0)) if job.quick else ((256, 256, 200), (1.6, 1.6, 2.0))
    )
    phantom = abdominal_phantom(3000, shape=shape, spacing=spacing)
    voxels = phantom.image.repeat(2, axis=0).repeat(2, axis=1)
    random = np.random.default_rng(0)
    noise = random.standard_normal(voxels.shape, dtype=np.float32) * NOISE
    affine = phantom.affine.copy()
    affine[:3, :2] /= 2
    affine[:3, 3] -= (affine[:3, 0] + affine[:3, 1]) / 2
    image = nib.Nifti1Image(np.rint(voxels + noise).astype(np.int16), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, job.scan)
    note = f"phantom, {job.scan.stat().st_size / MIB:.0f} MiB of gzip"
    yield Row(
        "scan", voxels.size / 1e6, "million voxels", f"{' x '.join(map(str, voxels.shape))}; {note}"
    )


def cold_part(job: Job) -> Iterator[Row]:
    """Run `monai-attn segment` from start to exit, after a first run in each mode."""
    runs: dict[str, list[tuple[float, float]]] = {mode: [] for mode in MODES}
    for turn in range(1 + min(2, job.repeats)):
        for mode in MODES:
            out = job.folder / f"cold_{mode}"
            words = ours(str(job.scan), str(out), "--mode", mode, "--device", job.device)
            seconds, mib = measure(words, job.folder / f"cold_{mode}.log")
            if turn:
                runs[mode].append((seconds, mib))
            else:
                yield Row(f"{mode}, first run on this machine", seconds, "s", "start to exit")
    for mode, figures in runs.items():
        yield median_row(f"{mode}, cold", [seconds for seconds, _ in figures], "s")
        yield Row(f"{mode}, cold, peak host memory", max(mib for _, mib in figures), "MiB")


def warm_part(job: Job) -> Iterator[Row]:
    """Segment the scan again and again in one process, from the file to labels in memory."""
    for mode in MODES:
        model = monai_attn.load(device=job.device, mode=mode)
        times: list[float] = []
        for turn in range(1 + job.repeats):
            if job.on_gpu:
                torch.cuda.reset_peak_memory_stats()
            start = time.perf_counter()
            result = model.segment(job.scan)
            seconds = time.perf_counter() - start
            if turn:
                times.append(seconds)
            else:
                yield Row(f"{mode}, first scan of a process", seconds, "s")
        settings, plan = result.settings, result.segmentation.plan
        backend = " in ".join(str(settings[key]) for key in ("backend", "precision"))
        target = "< 1 s" if mode == "full" else ""
        note = f"{backend}, {len(plan.windows)} of {plan.total} windows {plan.fallback}".strip()
        yield Row(f"{mode}, warm", median(times), "s", f"{note}; {each(times)}", target)
        for stage, took in result.segmentation.seconds.items():
            late = job.on_gpu and stage == "network"
            note = "counts where its result is needed, as labels" if late else "of the last scan"
            yield Row(f"{mode}, warm, {stage}", took, "s", note)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield Row(f"{mode}, warm, peak host memory", peak, "MiB", "of the process so far")
        yield from device_peak_rows(job, f"{mode}, warm")
    yield from _copy_rows(job)


def _copy_rows(job: Job) -> Iterator[Row]:
    """Yield the time of copying the scan to a GPU, with page-locked memory in between and without."""
    if not job.on_gpu:
        yield Row("copy of the scan to the device", None, "ms", "not applicable: no GPU")
        return
    image, device = as_tensor(read_volume(job.scan)), torch.device(job.device)
    for name, copy in (
        ("through page-locked memory", lambda: on_device(image, device)),
        ("directly", lambda: image.to(device)),
    ):
        seconds = timed(copy, job.device, 5)
        yield Row(
            f"copy of the scan to the device, {name}",
            1e3 * seconds,
            "ms",
            f"{image.nbytes / MIB:.0f} MiB",
        )


def labels_part(job: Job) -> Iterator[Row]:
    """Compare the labels with those of the CPU in float32 with every window."""
    body = body_voxels(job.scan)

    def labels(device: str, mode: str, precision: str) -> Any:
        backend = "auto" if precision == "auto" else "eager"
        model = monai_attn.load(device=device, mode=mode, precision=precision, backend=backend)
        return model.segment(job.scan).labels

    expected = labels("cpu", "full", "float32")
    yield Row("labelled voxels on the CPU", int((expected > 0).sum()), "voxels", "float32, full")
    for mode, precision in (("full", "float32"), ("full", "auto"), ("focus", "auto")):
        found = labels(job.device, mode, precision)
        different = int((found != expected)[body].sum())
        share = 100 * (1 - different / body.sum())
        note = f"of body voxels; {different} differ, {int((found > 0).sum())} are labelled"
        yield Row(f"same labels, {mode}, {precision}", share, "%", note, ">= 99.99 %")


def monai_rows(job: Job, device: str, name: str) -> Iterator[Row]:
    """Run MONAI's pipeline from start to exit."""
    log = job.folder / "monai.log"
    words = peer(str(job.scan), str(job.folder / "monai"), "--device", device)
    seconds, mib = measure(words, log)
    stages = json.loads(log.read_text().splitlines()[-1])
    yield Row(f"{name}, cold", seconds, "s", "start to exit")
    yield Row(f"{name}, after imports", sum(stages.values()), "s", _stages(stages))
    yield Row(f"{name}, peak host memory", mib, "MiB")


def monai_warm_rows(job: Job, name: str, *options: str) -> Iterator[Row]:
    """Run MONAI's pipeline twice in a process on the GPU; the second time counts."""
    log = job.folder / "monai.log"
    words = peer(str(job.scan), str(job.folder / "monai"), "--device", job.device, "--scans", "2")
    measure([*words, *options], log)
    device, stages = (json.loads(line) for line in log.read_text().splitlines()[-2:])
    yield Row(f"{name}, warm", sum(stages.values()), "s", f"second scan; {_stages(stages)}")
    yield Row(f"{name}, peak device memory", device["device_mib"], "MiB", "tensors")


def _stages(stages: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.3g}" for name, seconds in stages.items())


def monai_gpu_part(job: Job) -> Iterator[Row]:
    """Run MONAI's pipeline on the GPU, in float32 and with its own mixed precision."""
    if not job.on_gpu:
        yield Row("MONAI on the same GPU", None, "s", "not applicable: no GPU")
        return
    yield from monai_warm_rows(job, "MONAI on the GPU")
    yield from monai_warm_rows(job, "MONAI on the GPU, float16", "--amp")
    yield from monai_rows(job, job.device, "MONAI on the GPU")


def monai_cpu_part(job: Job) -> Iterator[Row]:
    """Run MONAI's pipeline on the CPU."""
    yield from monai_rows(job, "cpu", "MONAI on the CPU")


def nnunet_part(job: Job) -> Iterator[Row]:
    """Run nnU-Net's own prediction with a network of the same channels and random weights."""
    if job.nnunet is None:
        yield Row("nnU-Net", None, "s", "not measured: give --nnunet ENV/bin")
        return
    folder = job.folder / "nnunet"
    words = prediction(job.nnunet, job.scan, folder, "cuda" if job.on_gpu else "cpu")
    seconds, mib = measure(words, job.folder / "nnunet.log")
    written = list((folder / "labels").glob("*.nii.gz"))
    if not written:
        raise RuntimeError("nnU-Net wrote no labels")
    yield Row("nnU-Net, cold", seconds, "s", "start to exit; no mirroring")
    yield Row("nnU-Net, peak host memory", mib, "MiB", "largest of its processes")


def memory_part(job: Job) -> Iterator[Row]:
    """Ask for large batches under a budget, and see whether the peak stays below it."""
    budget, asked = (3 * GIB, 64) if job.quick or not job.on_gpu else (8 * GIB, 256)
    model = monai_attn.load(device=job.device, mode="full", memory=budget, backend="eager")
    model.bundle.inferer.sw_batch_size = asked
    try:
        result = model.segment(job.scan)
    except ValueError as error:
        yield Row("peak under a budget", None, "MiB", f"refused: {reason(error)}")
        return
    note = f"budget {budget // MIB} MiB, {asked} windows asked, {result.segmentation.plan.batch} at once"
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    device = torch.cuda.max_memory_reserved() / MIB if job.on_gpu else 0.0
    yield Row("peak host memory under a budget", host, "MiB", note, f"<= {budget // MIB} MiB")
    if job.on_gpu:
        yield Row(
            "peak device memory under a budget", device, "MiB", note, f"<= {budget // MIB} MiB"
        )
    else:
        yield Row("peak device memory under a budget", None, "MiB", "not applicable: no GPU")
    obeyed = max(host, device) * MIB <= budget
    yield Row("budget obeyed", int(obeyed), "1 = yes", note, "1")


def training_part(job: Job) -> Iterator[Row]:
    """Train with the loops of `training`, each in its own process, on phantoms."""
    from tests.benchmarks import training

    data = job.folder / "training"
    monai_attn.phantom.write_phantoms(
        data, training.CASES, shape=(40, 40, 24) if job.quick else None
    )
    epochs = 1 if job.quick else 5
    arms = {"the bundle's trainer": [*training.OURS][-1]}
    if not job.quick:
        arms["MONAI's plain loop"] = training.PLAIN
    for what, arm in arms.items():
        log = job.folder / "training.log"
        words = [sys.executable, "-m", "tests.benchmarks.training", str(data), "--arm", arm]
        measure([*words, "--epochs", str(epochs)], log)
        rate = training_rate(json.loads(log.read_text().splitlines()[-1]), training.CASES)
        yield Row(f"training, {what}", rate, "windows/s", "with loading and augmentation")


def training_rate(epochs: list[list[float]], cases: int) -> float:
    """Return windows per second, two of each case: the median over the epochs after the first."""
    return median(2 * cases / seconds for seconds, _ in epochs[1:])
