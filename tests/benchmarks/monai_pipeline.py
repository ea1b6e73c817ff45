"""The pipeline a MONAI user would write over MONAI's own AttentionUnet: the yardstick.

python -m tests.benchmarks.monai_pipeline SCAN OUT_FOLDER [--same-network] [--device cuda] [--amp]

The grid, the range and the windows are those of the shipped bundle, and so are the channels and strides of
the network. With --same-network it runs the bundle's network instead, to compare labels. On a GPU all
transforms after the loading run there, and four windows at once. With --scans N the scan is segmented N
times. The last line is JSON: the seconds of each stage of the last time. On a GPU the line before it has the
peak of its memory.
"""

import argparse
import json
import time
from itertools import pairwise

import torch
from monai import transforms as T
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import AttentionUnet

from tests.benchmarks.shipped_work import shipped_work

WORK = shipped_work()


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan")
    parser.add_argument("folder")
    parser.add_argument(
        "--same-network", action="store_true", help="run the shipped bundle's network"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--amp", action="store_true", help="float16 by autocast, as in MONAI's engines"
    )
    parser.add_argument("--scans", type=int, default=1, help="how often the scan is segmented")
    return parser.parse_args()


def segment(given, network, preprocessing, postprocessing):
    """Segment the scan; return the seconds of the stages."""
    kind, on_gpu = torch.device(given.device).type, given.device != "cpu"

    def now():
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    times = [now()]
    data = preprocessing({"image": given.scan})
    times.append(now())
    with torch.inference_mode(), torch.autocast(kind, torch.float16, enabled=given.amp):
        inferer = SlidingWindowInferer(
            WORK["roi_size"],
            sw_batch_size=4 if on_gpu else 1,
            overlap=WORK["overlap"],
            mode="gaussian",
        )
        data["pred"] = inferer(data["image"][None], network)[0]
    times.append(now())
    postprocessing(data)
    times.append(now())
    return [later - earlier for earlier, later in pairwise(times)]


def main():
    given = options()
    torch.manual_seed(0)
    if given.same_network:
        from monai_attn.bundle.open import open_bundle

        network = open_bundle(device=given.device, backend="eager", precision="float32").network
    else:  # random weights: its time does not depend on them
        network = AttentionUnet(3, 1, 2, WORK["channels"], WORK["strides"]).eval()
        network = network.to(given.device)
    to_device = [] if given.device == "cpu" else [T.ToDeviced("image", given.device)]
    preprocessing = T.Compose(
        [
            T.LoadImaged("image"),
            T.EnsureChannelFirstd("image"),
            *to_device,
            T.Orientationd("image", "RAS", labels=None),
            T.Spacingd("image", WORK["spacing"], mode="bilinear"),
            T.ScaleIntensityRanged("image", *WORK["intensity_range"], 0.0, 1.0, clip=True),
        ]
    )
    postprocessing = T.Compose(
        [
            T.Activationsd("pred", softmax=True),
            T.Invertd("pred", preprocessing, "image", nearest_interp=False),
            T.AsDiscreted("pred", argmax=True),
            T.SaveImaged(
                "pred",
                output_dir=given.folder,
                output_dtype="uint8",
                resample=False,
                separate_folder=False,
            ),
        ]
    )
    for _ in range(given.scans):
        stages = segment(given, network, preprocessing, postprocessing)
    print()
    if given.device != "cpu":
        print(json.dumps({"device_mib": torch.cuda.max_memory_allocated() / 2**20}))
    print(json.dumps(dict(zip(("before", "network", "after"), stages, strict=True))))


if __name__ == "__main__":
    main()
