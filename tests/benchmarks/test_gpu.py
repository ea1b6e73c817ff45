"""The measurement of a GPU: its pure functions, and the whole script on the CPU."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.benchmarks import gpu
from tests.benchmarks.gpu import PARTS, last_line, ratios, read_rows, run_part
from tests.benchmarks.gpu_network import convolution_flop, layer_bytes
from tests.benchmarks.gpu_peaks import share_of_peak, sheet_peak
from tests.benchmarks.gpu_rows import Job, Row
from tests.benchmarks.gpu_scan import training_rate
from tests.benchmarks.gpu_trace import length, merged, overlap, share_overlapped, trace_rows
from tests.doc_pages import ROOT

# --- overlap of intervals

INTERVALS = [
    # copies, kernels, share of the copies' time in which a kernel runs
    ([(0, 4)], [(4, 8)], 0.0),
    ([(0, 4)], [(2, 8)], 0.5),
    ([(1, 3)], [(0, 8)], 1.0),
    ([(0, 4)], [(1, 2), (3, 9)], 0.5),
    ([(0, 2), (6, 8)], [(1, 7)], 0.5),
    ([(0, 4), (2, 4)], [(0, 2), (1, 2)], 0.5),  # several at once count once
    ([(0, 4)], [], 0.0),
    ([], [(0, 4)], None),
]


@pytest.mark.parametrize(("copies", "kernels", "share"), INTERVALS)
def test_the_share_of_copies_that_kernels_hide(copies, kernels, share):
    assert share_overlapped(copies, kernels) == share


def test_intervals_are_merged_in_order():
    assert merged([(5, 6), (0, 2), (2, 3), (1, 2)]) == [(0, 3), (5, 6)]
    assert length([(5, 6), (0, 2), (1, 3)]) == 4


def test_overlap_does_not_depend_on_the_order():
    first, second = [(0, 3), (5, 9)], [(2, 6), (8, 12)]
    assert overlap(first, second) == overlap(second, first) == 3


def event(category, name, start, duration, **args):
    return {"ph": "X", "cat": category, "name": name, "ts": start, "dur": duration, "args": args}


def test_the_figures_of_a_trace():
    trace = {
        "traceEvents": [
            {"ph": "M", "name": "process_name"},
            event("cuda_runtime", "cudaLaunchKernel", 0, 1000),
            event("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", 0, 2000, bytes=2**21),
            event("kernel", "convolution", 1000, 5000),
            event("gpu_memcpy", "Memcpy DtoH (Device -> Pageable)", 8000, 2000, bytes=2**20),
        ]
    }
    rows = {row.measure: row for row in trace_rows("full", trace)}
    assert rows["full, kernels"].value == 5
    assert rows["full, busy"].value == 80
    assert rows["full, host to device"].value == 2
    assert rows["full, host to device"].note == "1 copies, 2 MiB"
    assert rows["full, host to device, while a kernel runs"].value == 50
    assert rows["full, device to host, while a kernel runs"].value == 0


def test_a_trace_without_kernels_says_so():
    (row,) = trace_rows("full", {"traceEvents": []})
    assert (row.value, row.note) == (None, "the profiler recorded no kernel")


# --- peaks

PEAKS = [
    ("NVIDIA H200", "bfloat16", 989.0),
    ("NVIDIA H200 NVL", "bfloat16", 835.5),
    ("NVIDIA H100 80GB HBM3", "bfloat16", 989.0),
    ("NVIDIA H100 PCIe", "bfloat16", 756.5),
    ("NVIDIA A100-SXM4-80GB", "float32", 156.0),
    ("NVIDIA L4", "float16", 121.0),
    ("NVIDIA L40S", "float16", 362.0),
    ("NVIDIA RTX A1000", "float16", None),
    ("NVIDIA L40", "bfloat16", None),
    ("NVIDIA H200", "float64", None),
]


@pytest.mark.parametrize(("name", "precision", "peak"), PEAKS)
def test_the_peak_of_a_device_by_its_name(name, precision, peak):
    assert sheet_peak(name, precision) == peak


def test_the_share_of_the_peak():
    assert share_of_peak(flop=50e12, seconds=0.5, peak=200) == 0.5


def test_operations_and_bytes_of_a_network():
    """A 3x3x3 convolution of 2 to 4 channels on 6x6x6 voxels, then one of 1x1x1."""
    network = torch.nn.Sequential(torch.nn.Conv3d(2, 4, 3, padding=1), torch.nn.Conv3d(4, 1, 1))
    x = torch.rand(1, 2, 6, 6, 6)
    assert convolution_flop(network, x) == 2 * 6**3 * (27 * 2 * 4 + 4 * 1)
    values = 6**3 * (2 + 4 + 4 + 1) + (27 * 2 * 4 + 4) + (4 + 1)
    assert layer_bytes(network, x, width=2) == 2 * values


# --- rows and parts


def test_a_ratio_needs_both_figures():
    rows = [Row("full, warm", 0.5), Row("MONAI on the GPU, warm", 4.0), Row("full, cold", None)]
    rows += [Row("MONAI on the CPU, cold", 40.0)]
    (row,) = ratios(rows)
    assert (row.measure, row.value, row.target) == ("warm against MONAI on the GPU", 8.0, ">= 3")


def test_rows_survive_the_way_through_a_file(tmp_path):
    rows = [Row("a", 1.5, "s", "note"), Row("b", None, "", "no reason")]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row.as_json()) + "\n" for row in rows))
    assert read_rows(path) == rows
    assert read_rows(tmp_path / "missing.jsonl") == []


SCRIPTS = [
    # script of the part, its rows, and the reason in the last one
    ("print('all is well')", None),
    ("raise SystemExit('no memory')", "failed: no memory"),
    ("import time; time.sleep(60)", "stopped after 2 s"),
]


@pytest.mark.parametrize(("script", "fault"), SCRIPTS)
def test_a_part_that_does_not_end_well_is_a_row(script, fault, tmp_path, monkeypatch):
    """The rows that it wrote before stay."""
    program = tmp_path / "python"
    row = tmp_path / "warm.jsonl"
    program.write_text(
        f"#!{sys.executable}\nopen({str(row)!r}, 'w').write"
        f"""('{{"measure": "first", "value": 1}}\\n')\n{script}\n"""
    )
    program.chmod(0o755)
    monkeypatch.setattr(gpu, "PYTHON", str(program))
    rows = run_part("warm", Job("cpu", tmp_path), [], limit=2)
    assert rows[0] == Row("first", 1)
    assert [row.note for row in rows[1:]] == ([] if fault is None else [fault])


def test_windows_per_second_of_a_training():
    """The median over the epochs after the first, with two windows of four cases."""
    assert training_rate([[99.0, 9.0], [16.0, 1.0], [8.0, 2.0], [24.0, 3.0]], cases=4) == 0.5


def test_the_last_line_of_a_log(tmp_path):
    log = tmp_path / "log"
    log.write_text("Traceback\nValueError: wrong\n\n")
    assert last_line(log) == "ValueError: wrong"


@pytest.mark.slow
def test_every_part_has_a_figure_or_a_reason_on_the_cpu(tmp_path):
    output = tmp_path / "gpu.json"
    words = [sys.executable, "-m", "tests.benchmarks.gpu", "--device", "cpu", "--quick"]
    words += ["-o", str(output), "--limit", "3600"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(words, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(output.read_text())
    assert found["device"] == "cpu"
    assert {row["part"] for row in found["rows"]} >= set(PARTS)
    for row in found["rows"]:
        assert row["value"] is not None or row["note"]
    faults = [row for row in found["rows"] if row.get("note", "").startswith(("failed", "stopped"))]
    assert not faults
    rows = {row["measure"]: row for row in found["rows"]}
    for measure in (
        "full, warm",
        "focus, cold",
        "channels last, bfloat16, batch 1",
        "budget obeyed",
    ):
        assert rows[measure]["value"] > 0
    assert rows["same labels, full, float32"]["value"] == 100
    assert rows["overlap of copies with kernels"]["note"] == "not applicable: no GPU"
