"""Batches that several processes share, or that a killed one leaves."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest

from command_line import names_in
from monai_attn.inference.segmentation import Segmentation
from monai_attn.io.scan import open_scan, read_volume
from monai_attn.phantom import write_phantoms
from monai_attn.runs import case_files
from monai_attn.runs.batch import CaseResult, segment_files
from monai_attn.runs.summary import JSON
from scans import VALUES, save
from tests.runs.summaries import statuses


def test_a_result_reaches_another_rank_whole():
    result = CaseResult(
        Path("a.nii.gz"),
        Path("out/a_seg.nii.gz"),
        {1: 70.5, 2: 3.0},
        warnings=("a: thin",),
        missing=("a: no DICOM SEG",),
        intervals_ml={1: (68.25, 72.75), 2: (0.0, 4.0)},
    )
    assert CaseResult.unpacked(result.packed()) == result


def test_a_result_is_the_same_on_another_rank(tmp_path):
    odd = os.fsdecode(b"\xff.nii.gz")
    result = CaseResult(
        tmp_path / odd, tmp_path / "a_seg.nii", {1: 0.1}, "why", ("ä", odd), "", True
    )
    assert CaseResult.unpacked(result.packed()) == result


# --- several ranks

TWO_RANKS = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]


def begun(*arguments, ranks=(), **options):
    """`python -m monai_attn segment`, or the same under torchrun, on its way."""
    command = [sys.executable, "-m", *ranks, "monai_attn", "segment", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=pipe, text=True, **options
    )


def ended(process):
    """What a run printed: its table, and its messages without what torchrun adds."""
    printed, said = process.communicate(timeout=300)
    messages = [line for line in said.splitlines() if line.startswith(("error", "warn", "note"))]
    return printed, messages


def summary_of(out):
    """What a summary holds, without the times."""
    content = json.loads((out / JSON).read_text())
    assert content.pop("date")
    for row in content["cases"]:
        assert (row.pop("seconds") is None) == (row["status"] == "not run")
    return content


def assert_same_files(out, expected):
    assert names_in(out) == names_in(expected)
    for path in expected.glob("*.nii.gz"):
        assert (out / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_two_ranks_make_what_one_process_makes(mixed_scans, tiny_bundle, tmp_path):
    arguments = (mixed_scans, "-o", "out", "--bundle", tiny_bundle, "--backend", "eager")
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    alone = begun(*arguments, cwd=one)
    table, messages = ended(alone)
    ranks = begun(*arguments, cwd=two, ranks=TWO_RANKS)
    same, said = ended(ranks)
    assert same == table
    assert alone.returncode == ranks.returncode == 1
    assert "4 segmented, 6 failed" in table
    assert sorted(said) == sorted(messages)
    assert len(messages) == 7
    assert_same_files(two / "out", one / "out")
    assert summary_of(two / "out") == summary_of(one / "out")


@pytest.mark.slow
def test_what_no_rank_could_do_is_said_once(mixed_scans, tmp_path):
    scan = min(mixed_scans.glob("phantom_*"))
    process = begun(mixed_scans, scan, "-o", tmp_path / "out", ranks=TWO_RANKS)
    _, messages = ended(process)
    assert process.returncode == 1  # torchrun's, whatever a rank's
    (message,) = messages
    assert "listed twice" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_others_and_the_run_is_resumed(tiny_bundle, tmp_path):
    write_phantoms(tmp_path / "data", 8, seed=30, shape=(40, 34, 20), spacing=(10, 10, 10))
    scans, out = tmp_path / "data" / "imagesTr", tmp_path / "out"
    options = ("--bundle", tiny_bundle, "--backend", "eager")
    process = begun(scans, "-o", out, *options, ranks=TWO_RANKS)
    while process.poll() is None and len(list(out.glob("*.manifest.json"))) < 2:
        time.sleep(0.005)
    ranks = {int(p.environ()["RANK"]): p for p in psutil.Process(process.pid).children()}
    ranks[1].kill()
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert not any(p.is_running() for p in ranks.values())
    assert len(list(out.glob("*_seg.nii.gz"))) < 8, "it came to its end before it could be cut off"
    resumed = begun(scans, "-o", out, *options, "--resume", ranks=TWO_RANKS)
    ended(resumed)
    assert resumed.returncode == 0
    assert set(statuses(out).values()) == {"kept", "segmented"}


# --- cut off


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_cut_off_is_resumed_to_the_same_end(tiny_bundle, tmp_path, number):
    data = tmp_path / "data"
    write_phantoms(data, 8, seed=30, shape=(40, 34, 20), spacing=(10, 10, 10))
    scans = data / "imagesTr"
    (scans / "phantom_0033.nii.gz").write_bytes(b"<html>")
    options = ["--bundle", str(tiny_bundle), "--backend", "eager"]

    def command(out, *more):
        return [
            sys.executable,
            "-m",
            "monai_attn.cli",
            "segment",
            scans,
            "-o",
            out,
            *options,
            *more,
        ]

    whole = subprocess.run(command(tmp_path / "whole"), capture_output=True)
    assert whole.returncode == 1
    out, rng, codes = tmp_path / "out", random.Random(0), []
    for done in (1, 3, 5):
        process = subprocess.Popen(command(out, "--resume"), stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("*.manifest.json"))) < done:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(number)
        codes.append(process.wait())
        for path in out.glob("[!.]*_seg.nii.gz"):  # what is there is whole
            assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
        assert len(statuses(out)) == 8
    assert set(codes) <= {-number, 128 + number, 1}
    assert codes[0] != 1, "it came to its end before it could be cut off"
    assert subprocess.run(command(out, "--resume"), capture_output=True).returncode == 1
    assert sorted(path.name for path in out.glob("[!.]*")) == names_in(tmp_path / "whole")
    for path in (tmp_path / "whole").glob("*_seg.nii.gz"):
        assert (out / path.name).read_bytes() == path.read_bytes()
    counts = json.loads((out / JSON).read_text())["counts"]
    assert counts["failed"] == 1
    assert counts["kept"] >= 3


class Slow:
    """A segmenter whose labels are one number, and whose writing takes a while."""

    levels, uncertainty, probabilities, settings = (), False, False, {}

    open = staticmethod(open_scan)

    def __init__(self, label):
        self.label = label

    def __call__(self, opened, on_window):
        scan = opened.read()
        return Segmentation(scan.grid, np.full(scan.shape, self.label, np.uint8))


def test_two_runs_over_one_name_never_mix(tmp_path, monkeypatch):
    """The labels of one, with the manifest of the other, would be kept for ever."""
    written, turn = case_files.write_labels, threading.Event()

    def slow(path, labels, like):
        found = written(path, labels, like)
        if labels.max() == 1:
            turn.set()
            time.sleep(0.3)
        return found

    monkeypatch.setattr(case_files, "write_labels", slow)
    target = tmp_path / "out" / "a_seg.nii"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "a.nii", VALUES.astype(np.int16) * len(name))

    def segment(label, name):
        return list(segment_files(Slow(label), {tmp_path / name / "a.nii": target}))

    first = threading.Thread(target=segment, args=(1, "one"))
    first.start()
    assert turn.wait(10)
    (second,) = segment(2, "two")
    first.join()
    assert second.error == ""
    manifest = json.loads((tmp_path / "out" / "a_seg.manifest.json").read_text())
    assert manifest["scan"] == str(tmp_path / "two" / "a.nii")
    assert manifest["volumes_ml"].keys() == {"2"}
    assert (read_volume(target).data == 2).all()


@pytest.mark.slow
def test_two_runs_into_one_folder_do_not_harm_each_other(phantoms, tiny_bundle, tmp_path):
    scans = sorted((phantoms / "imagesTr").iterdir())
    options = ["--bundle", str(tiny_bundle), "--backend", "eager", "-o", str(tmp_path / "out")]
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "monai_attn.cli", "segment", *some, *options],
            stdout=subprocess.DEVNULL,
        )
        for some in (scans[:3], scans[1:])
    ]
    assert [process.wait() for process in runs] == [0, 0]
    assert sorted(statuses(tmp_path / "out").values()) == ["segmented"] * 4
    for scan in scans:
        name = scan.name.replace(".nii.gz", "_seg.nii.gz")
        assert nib.load(tmp_path / "out" / name).get_fdata().shape == nib.load(scan).shape
