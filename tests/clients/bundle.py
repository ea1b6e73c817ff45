"""The command and the functions of monai.bundle."""

from __future__ import annotations

from tests.clients.client import ROOT, CheckFailed, Client, Place

BUNDLES = ("pancreas_ct_attention_segmentation", "pancreas_ct_attention_segmentation_2d")


def network_takes_and_gives_what_the_metadata_says(place: Place) -> str:
    """Run verify_net_in_out on both bundles."""
    for name in BUNDLES:
        words = ["verify_net_in_out", "--net_id", "network_def"]
        words += ["--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json"]
        printed = place.run("python", "-m", "monai.bundle", *words, cwd=ROOT / "bundles" / name)
        if "data shape of network is verified" not in printed:
            raise CheckFailed(f"{name}: verify_net_in_out did not verify the shape")
    return f"{len(BUNDLES)} bundles"


CLIENT = Client("bundle", "monai.bundle 1.6.1", (network_takes_and_gives_what_the_metadata_says,))
