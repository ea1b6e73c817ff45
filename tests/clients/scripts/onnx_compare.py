"""Compare an exported network with torch at several sizes, for `tests.clients.onnx`; print a JSON object.

python onnx_compare.py BUNDLE model.onnx '[[1, 1, 64, 64, 32], ...]'
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import torch
from monai.bundle import ConfigParser

bundle, file, shapes = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
parser = ConfigParser()
parser.read_config(bundle / "configs" / "inference.json")
network = parser.get_parsed_content("network_def").eval()
network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
onnx.checker.check_model(onnx.load(file), full_check=True)
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
exact = {"INFERENCE_PRECISION_HINT": "f32"}  # a CPU with bfloat16 units would use them
compiled = openvino.Core().compile_model(file, "CPU", exact)
largest = {"ONNX Runtime": 0.0, "OpenVINO": 0.0}
for number, shape in enumerate(shapes):
    image = torch.rand(shape, generator=torch.Generator().manual_seed(number))
    with torch.no_grad():
        expected = network(image).numpy()
    found = {
        "ONNX Runtime": session.run(None, {"image": image.numpy()})[0],
        "OpenVINO": compiled(image.numpy())[0],
    }
    for name, logits in found.items():
        if logits.shape != expected.shape:
            raise SystemExit(f"{name}: {logits.shape} for {shape}, {expected.shape} expected")
        largest[name] = max(largest[name], float(np.abs(logits - expected).max()))
nodes = onnx.load(file).graph.node
print(json.dumps({"largest": largest, "operators": sorted({node.op_type for node in nodes})}))
