"""ONNX Runtime and OpenVINO run the exported network at any size; a short script segments without torch."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_attn.phantom import write_phantoms
from tests.clients.client import ROOT, CheckFailed, Client, Place

BUNDLE = "pancreas_ct_attention_segmentation"
SIZES = {  # the second is the bundle's window; the others are not multiples of the strides
    BUNDLE: [[1, 1, 64, 48, 32], [1, 1, 112, 112, 32], [2, 1, 33, 47, 29], [1, 1, 17, 90, 18]],
    f"{BUNDLE}_2d": [[1, 3, 64, 48], [1, 3, 224, 224], [5, 3, 133, 47], [1, 3, 17, 90]],
}
MOST = 1e-3  # difference of logits, which lie between about -20 and 20
# TensorRT 10's documentation lists all of these among the operators that its parser takes
OPERATORS = {"Add", "Concat", "Conv", "Div", "Mul", "Relu", "Reshape", "Resize", "Shape", "Sigmoid"}
OPERATORS |= {"Squeeze", "Cast", "Constant", "Gather", "Slice", "Unsqueeze", "Ceil", "Floor", "Sub"}
REAL = ROOT.parent / "shared" / "data" / "real" / "ct_abdomen_3mm.nii.gz"
EXAMPLE = ROOT / "docs" / "examples" / "onnx" / "segment.py"
WITHOUT = (  # an import of one of these fails
    "import runpy, sys; sys.modules.update(dict.fromkeys(('torch', 'monai', 'monai_attn')));"
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def networks_take_any_size(place: Place) -> str:
    """Export both bundles with the documented command, and compare with torch at several sizes."""
    said = []
    for name, sizes in SIZES.items():
        file = export(place, name)
        script = Path(__file__).parent / "scripts" / "onnx_compare.py"
        printed = place.run("python", script, ROOT / "bundles" / name, file, json.dumps(sizes))
        found = json.loads(printed.splitlines()[-1])
        if max(found["largest"].values()) > MOST:
            raise CheckFailed(f"{name}: logits differ by {found['largest']}")
        unknown = set(found["operators"]) - OPERATORS
        if unknown:
            raise CheckFailed(f"{name}: operators {sorted(unknown)} are not on TensorRT's list")
        largest = ", ".join(f"{k} {v:.1e}" for k, v in found["largest"].items())
        said.append(f"{len(sizes[0]) - 2}D, {len(sizes)} sizes: {largest}")
    return "; ".join(said)


def segments_without_torch(place: Place) -> str:
    """Run the example where torch cannot be imported, and compare with `segment --mode full`."""
    model = export(place, BUNDLE)
    scan = REAL
    if not REAL.is_file():
        write_phantoms(place.work / "scans", 1, shape=(128, 112, 56), spacing=(3.0, 3.0, 4.0))
        scan = place.work / "scans" / "imagesTr" / "phantom_0000.nii.gz"
    config = ROOT / "bundles" / BUNDLE / "configs" / "inference.json"
    short, ours = place.work / "short.nii.gz", place.work / "ours"
    place.run("python", "-c", WITHOUT, EXAMPLE, model, config, scan, short)
    words = ["segment", scan, "-o", ours, "--mode", "full", "--device", "cpu"]
    place.run("monai-attn", *words, "--backend", "eager", "--precision", "float32")
    (file,) = ours.glob("*_seg.nii.gz")
    found, expected = (np.asarray(nib.load(path).dataobj) for path in (short, file))
    unequal = int((found != expected).sum())
    if unequal > 1e-4 * found.size or not expected.any():
        raise CheckFailed(f"{unequal} of {found.size} voxels differ, {expected.sum()} labelled")
    what = "a real CT" if scan == REAL else "a phantom, since there is no real CT"
    return f"{what}: {unequal} of {found.size} voxels differ, {np.count_nonzero(expected)} labelled"


def export(place: Place, name: str) -> str:
    """Export a bundle's network as `bundle-clients.md` says; return the file."""
    shape = [2, *(24 if n > 1 else n for n in SIZES[name][0][1:])]
    shape[1] = SIZES[name][0][1]
    axes = {axis: f"axis_{axis}" for axis in range(len(shape)) if axis != 1}
    converter = {
        "input_names": ["image"],
        "output_names": ["pred"],
        "dynamic_axes": {"image": axes},
    }
    file = place.work / f"{name}.onnx"
    words = ["onnx_export", "--net_id", "network_def", "--filepath", file]
    words += ["--ckpt_file", "models/model.pt", "--meta_file", "configs/metadata.json"]
    words += ["--config_file", "configs/inference.json", "--use_trace", "True"]
    words += ["--input_shape", json.dumps(shape), "--converter_kwargs", repr(converter)]
    place.run("python", "-m", "monai.bundle", *words, cwd=ROOT / "bundles" / name)
    return str(file)


CLIENT = Client(
    "onnx",
    "ONNX Runtime 1.32.0, OpenVINO 2026.4.1",
    (networks_take_any_size, segments_without_torch),
)
