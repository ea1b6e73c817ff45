"""Many small scans, some of them broken, and a run that is killed in the middle and resumed.

python -m tests.benchmarks.batch [COUNT] [BROKEN]      200 phantoms, 20 of them broken, by default

It prints what became of them, and ends with an error unless every sound scan has the label map that a
run without interruption gives it and every broken one is named.
"""

import gzip
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_attn.phantom import write_phantoms
from tests.benchmarks.process import machine, ours


def raw(change):
    """Change the bytes inside the gzip stream."""
    return lambda content: gzip.compress(change(gzip.decompress(content)))


def field(offset, value):
    """Put a value at an offset of the header."""
    data = np.asarray(value).tobytes()
    return raw(lambda content: content[:offset] + data + content[offset + len(data) :])


BREAK = (
    lambda content: b"",
    lambda content: b"<!DOCTYPE html><html>404</html>",
    lambda content: b"version https://git-lfs.github.com/spec/v1\n",
    lambda content: content[: len(content) // 2],
    lambda content: content[:-4] + bytes(4),
    lambda content: content[: len(content) // 2] + b"rotten" + content[len(content) // 2 + 6 :],
    gzip.decompress,
    raw(lambda content: content[:-1000]),
    raw(lambda content: content + bytes(2**20)),
    field(42, np.int16([-1])),  # dim
    field(40, np.int16([4, 9, 9, 9, 2])),
    field(70, np.int16([999])),  # datatype
    field(72, np.int16([64])),  # bitpix
    field(108, np.float32([1e9])),  # vox_offset
    field(112, np.float32([np.inf])),  # scl_slope
    field(123, np.uint8([1])),  # xyzt_units: metres
    field(252, np.int16([77, 77])),  # form codes
    field(280, np.float32([np.nan])),  # srow_x
    field(280, np.zeros(4, np.float32)),
    field(280, np.float32([1e-4, 0, 0, 0])),
)


def labels_in(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("*_seg.nii.gz")}


def counts_in(folder):
    return json.loads((Path(folder) / "summary.json").read_text())["counts"]


def main():
    count, broken = (int(n) for n in (*sys.argv[1:], *("200", "20")[len(sys.argv) - 1 :]))
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(folder, count, seed=5000, shape=(64, 56, 32), spacing=(6, 6, 6))
        scans = Path(folder, "imagesTr")
        paths = sorted(scans.iterdir())
        bad = paths[:: count // broken][:broken]
        for path, spoil in zip(bad, BREAK * broken, strict=False):
            path.write_bytes(spoil(path.read_bytes()))

        start = time.perf_counter()
        done = subprocess.run(ours(scans, f"{folder}/whole"), capture_output=True, text=True)
        seconds = time.perf_counter() - start
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        print(
            f"uninterrupted: {counts_in(f'{folder}/whole')}, exit {done.returncode}, {seconds:.0f} s"
        )
        assert done.returncode == 1
        assert len(errors) == broken
        assert all(any(str(path) in line for line in errors) for path in bad)
        whole = labels_in(f"{folder}/whole")
        assert len(whole) == count - broken
        for path in paths:
            if path not in bad:
                name = path.name.replace(".nii.gz", "_seg.nii.gz")
                scan, labels = nib.load(path), nib.load(f"{folder}/whole/{name}")
                assert scan.shape == labels.shape
                assert np.allclose(scan.affine, labels.affine)

        out = Path(folder, "killed")
        process = subprocess.Popen(
            ours(scans, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while len(labels_in(out)) < (count - broken) // 2 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"killed after {len(labels_in(out))} label maps: {counts_in(out)}")
        start = time.perf_counter()
        done = subprocess.run(ours(scans, out, "--resume"), capture_output=True, text=True)
        seconds = time.perf_counter() - start
        print(f"resumed: {counts_in(out)}, exit {done.returncode}, {seconds:.0f} s")
        assert done.returncode == 1
        assert labels_in(out) == whole, "the label maps differ"
        left = {path.name for path in out.iterdir()} ^ {
            p.name for p in Path(folder, "whole").iterdir()
        }
        print(
            f"the same {len(whole)} label maps, byte for byte; other files: {sorted(left) or 'none'}"
        )


if __name__ == "__main__":
    main()
