"""The pipeline a MONAI user would write over MONAI's own AttentionUnet: the yardstick.

python -m tests.benchmarks.monai_pipeline SCAN OUT_FOLDER
"""

import sys

import torch
from monai import transforms as T
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import AttentionUnet

scan, folder = sys.argv[1:]
torch.manual_seed(0)
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
        T.SaveImaged("pred", output_dir=folder, output_dtype="uint8", resample=False),
    ]
)
data = preprocessing({"image": scan})
with torch.inference_mode():
    inferer = SlidingWindowInferer((96, 96, 96), overlap=0.5, mode="gaussian")
    data["pred"] = inferer(data["image"][None], network)[0]
postprocessing(data)
