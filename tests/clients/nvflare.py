"""NVFlare: the example job of the documentation, in its simulator."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.clients.client import ROOT, CheckFailed, Client, Place

BUNDLE = ROOT / "bundles" / "pancreas_ct_attention_segmentation_2d"
EXAMPLE = ROOT / "docs" / "examples" / "nvflare"
SCRIPTS = Path(__file__).parent / "scripts"
SETTINGS = {"batch_size": 1, "num_samples": 2, "learning_rate": 0.002, "roi_size": [96, 96]}
LIMIT = 900  # seconds for the simulator, which must not hang


def the_global_model_is_as_good_as_that_of_each_site(place: Place) -> str:
    """Train at two sites for two rounds, and each alone for as many epochs; score held-out cases."""
    data = place.work / "data"
    place.run("python", SCRIPTS / "federated_data.py", data)
    federate(place, data / "site-1", data / "site-2", place.work / "out")
    settings = json.dumps({**SETTINGS, "epochs": 2})
    names = ("global", "site-1", "site-2")
    place.run("python", SCRIPTS / "train_alone.py", BUNDLE, data, place.work / "alone", settings)
    weights = [place.work / "out" / "global" / "models" / "model.pt"]
    weights += [place.work / "alone" / name / "model.pt" for name in names[1:]]
    printed = place.run("python", SCRIPTS / "held_out_dice.py", BUNDLE, data / "held_out", *weights)
    dice = dict(zip(names, map(float, printed.splitlines()[-1].split()), strict=True))
    said = ", ".join(f"{name} {value:.3f}" for name, value in dice.items())
    if not dice["global"] >= max(dice["site-1"], dice["site-2"]):
        raise CheckFailed(f"held-out Dice: {said}")
    return f"held-out Dice: {said}"


def a_site_without_data_ends_the_job(place: Place) -> str:
    """Name a folder that does not exist at one site: the job ends, says why, and writes no bundle."""
    data = place.work / "data"
    place.run("python", SCRIPTS / "federated_data.py", data)
    try:
        federate(place, data / "site-1", place.work / "gone", place.work / "out")
    except CheckFailed as error:
        log = Path(str(error).split("see ")[1]).read_text(encoding="utf-8")
        if "exit status" not in str(error):
            raise
        if not re.search(r"gone: does not exist \(expected", log):
            raise CheckFailed(f"the missing folder is not named: {error}") from error
        if (place.work / "out" / "global").exists():
            raise CheckFailed("a bundle was written") from error
        return "exit status 1, and the log names the folder"
    raise CheckFailed("a job without the data of a site ended with 0")


def federate(place: Place, first: Path, second: Path, output: Path) -> None:
    """Run the example job for two rounds."""
    sites = ("--site", f"site-1={first}", "--site", f"site-2={second}")
    words = [
        f"--set={name}={json.dumps(value).replace(' ', '')}" for name, value in SETTINGS.items()
    ]
    job = (EXAMPLE / "job.py", "--bundle", BUNDLE, *sites, "--output", output, *words)
    place.run("python", *job, env={"OMP_NUM_THREADS": "1"}, timeout=LIMIT)


CLIENT = Client(
    "nvflare",
    "NVFlare 2.7.3",
    (the_global_model_is_as_good_as_that_of_each_site, a_site_without_data_ends_the_job),
)
