"""The overlap of copies with kernels, from a trace of one segmentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

import monai_attn
from tests.benchmarks.gpu_rows import Job, Row

Interval = tuple[float, float]
DIRECTIONS = {"host to device": "HtoD", "device to host": "DtoH"}


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the union of intervals as intervals without overlap, in order."""
    union: list[Interval] = []
    for start, end in sorted(intervals):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def length(intervals: Iterable[Interval]) -> float:
    """Return the length of the union of intervals."""
    return sum(end - start for start, end in merged(intervals))


def overlap(first: Iterable[Interval], second: Iterable[Interval]) -> float:
    """Return the length of what lies in both unions.

    Example:
        >>> overlap([(0, 2), (1, 4)], [(3, 8)])
        1
    """
    one, other = merged(first), merged(second)
    return length(one) + length(other) - length([*one, *other])


def share_overlapped(copies: Iterable[Interval], kernels: Iterable[Interval]) -> float | None:
    """Return the share, 0 to 1, of the time of copies in which a kernel runs; None without copies."""
    several = list(copies)
    return overlap(several, kernels) / length(several) if several else None


def device_events(trace: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Sort the events of torch's chrome trace: kernels, and copies by direction."""
    found: dict[str, list[dict[str, Any]]] = {"kernels": [], **{name: [] for name in DIRECTIONS}}
    for event in trace["traceEvents"]:
        if event.get("ph") != "X":
            continue
        if event.get("cat") == "kernel":
            found["kernels"].append(event)
        elif event.get("cat") == "gpu_memcpy":
            for name, mark in DIRECTIONS.items():
                if mark in event["name"]:
                    found[name].append(event)
    return found


def intervals(events: Iterable[dict[str, Any]]) -> list[Interval]:
    """Return the start and the end of events, in microseconds."""
    return [(event["ts"], event["ts"] + event["dur"]) for event in events]


def trace_rows(mode: str, trace: dict[str, Any]) -> Iterator[Row]:
    """Yield the figures of a trace."""
    events = device_events(trace)
    kernels = intervals(events["kernels"])
    if not kernels:
        yield Row(f"{mode}, trace", None, "", "the profiler recorded no kernel")
        return
    every = intervals(event for several in events.values() for event in several)
    span = max(end for _, end in every) - min(start for start, _ in every)
    note = f"{len(kernels)} kernels"
    yield Row(f"{mode}, kernels", length(kernels) / 1e3, "ms", note)
    yield Row(
        f"{mode}, busy", 100 * length(every) / span, "%", f"of {span / 1e3:.0f} ms on the GPU"
    )
    for name in DIRECTIONS:
        copies = intervals(events[name])
        mib = sum(event.get("args", {}).get("bytes", 0) for event in events[name]) / 2**20
        yield Row(
            f"{mode}, {name}", length(copies) / 1e3, "ms", f"{len(copies)} copies, {mib:.0f} MiB"
        )
        share = share_overlapped(copies, kernels)
        measure = f"{mode}, {name}, while a kernel runs"
        yield Row(
            measure, None if share is None else 100 * share, "%", "" if copies else "no copies"
        )


def trace_part(job: Job) -> Iterator[Row]:
    """Trace one segmentation in each mode, after one that does not count."""
    if not job.on_gpu:
        yield Row("overlap of copies with kernels", None, "%", "not applicable: no GPU")
        return
    for mode in ("full", "focus"):
        model = monai_attn.load(device=job.device, mode=mode)
        model.segment(job.scan)
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            model.segment(job.scan)
            torch.cuda.synchronize()
        path = job.folder / f"trace_{mode}.json"
        profiler.export_chrome_trace(str(path))
        yield from trace_rows(mode, json.loads(path.read_text(encoding="utf-8")))
