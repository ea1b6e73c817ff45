"""Print by how much the logits of a bundle's exports differ from those of its network.

python compare_exports.py BUNDLE SHAPE
"""

import json
import sys
from pathlib import Path

import onnxruntime
import torch
from monai.bundle import load

root, shape = Path(sys.argv[1]), json.loads(sys.argv[2])
torch.manual_seed(0)
window = torch.rand(shape)
network = load(root.name, bundle_dir=root.parent, workflow_type="inference", device="cpu").eval()
with torch.inference_mode():
    expected = network(window)
    scripted = torch.jit.load(str(root / "models" / "model.ts"))(window)
file = str(root / "models" / "model.onnx")
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
traced = torch.from_numpy(session.run(None, {name: window.numpy()})[0])
print(max(float((other - expected).abs().max()) for other in (scripted, traced)))
