"""The pipeline a MONAI user would write over MONAI's own AttentionUnet: the yardstick.

python -m tests.benchmarks.monai_pipeline SCAN OUT_FOLDER [--same-network]

With --same-network it runs our bundle's network instead, to compare labels. The last line is JSON: the
seconds of each stage.
"""

import json
import sys
import time
from itertools import pairwise

import torch
from monai import transforms as T
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import AttentionUnet

scan, folder = sys.argv[1:3]
torch.manual_seed(0)
if "--same-network" in sys.argv:
    from monai_attn.bundle.open import open_bundle

    network = open_bundle(device="cpu", backend="eager", precision="float32").network
else:  # random weights: its time does not depend on them
    network = AttentionUnet(3, 1, 2, (16, 32, 64, 128, 256), (2, 2, 2, 2)).eval()
preprocessing = T.Compose(
    [
        T.LoadImaged("image"),
        T.EnsureChannelFirstd("image"),
        T.Orientationd("image", "RAS", labels=None),
        T.Spacingd("image", (2.0, 2.0, 2.0), mode="bilinear"),
        T.ScaleIntensityRanged("image", -150.0, 250.0, 0.0, 1.0, clip=True),
    ]
)
postprocessing = T.Compose(
    [
        T.Activationsd("pred", softmax=True),
        T.Invertd("pred", preprocessing, "image", nearest_interp=False),
        T.AsDiscreted("pred", argmax=True),
        T.SaveImaged(
            "pred", output_dir=folder, output_dtype="uint8", resample=False, separate_folder=False
        ),
    ]
)
times = [time.perf_counter()]
data = preprocessing({"image": scan})
times.append(time.perf_counter())
with torch.inference_mode():
    inferer = SlidingWindowInferer((96, 96, 96), overlap=0.5, mode="gaussian")
    data["pred"] = inferer(data["image"][None], network)[0]
times.append(time.perf_counter())
postprocessing(data)
times.append(time.perf_counter())
stages = [later - earlier for earlier, later in pairwise(times)]
print()
print(json.dumps(dict(zip(("before", "network", "after"), stages, strict=True))))
