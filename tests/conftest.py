"""What several test modules stand on: a small data set, a small trained bundle, real scans where they are."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle import find_bundle
from monai_attn.data.phantom import write_phantoms

REAL = Path(__file__).parents[2] / "shared" / "data" / "real"
# A network and a grid small enough for a test: one window takes milliseconds.
TINY = {
    "network_def#channels": [4, 8],
    "network_def#strides": [2],
    "network_def#deep_supervision": 0,
    "spacing": [8.0, 8.0, 8.0],
    "roi_size": [32, 32, 16],
}
TINY_LOCATOR = {
    "locator_def#channels": [4, 8],
    "locator_def#strides": [2],
    "locator#spacing": [16.0, 16.0, 16.0],
    "displayable_configs#focus": False,
}


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """What is compiled in a test is kept apart from what the user has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _repeatable():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A Decathlon folder of four coarse phantoms: LPS, RAS, RAS and oblique."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 4, seed=5, shape=(56, 48, 28), spacing=(7, 7, 7))
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """A copy of the shipped bundle whose configs describe a tiny network, with weights that fit it."""
    root = tmp_path_factory.mktemp("bundle") / DEFAULT_BUNDLE
    ignore = shutil.ignore_patterns("*.pt", "*.ts", "eval")
    shutil.copytree(find_bundle(DEFAULT_BUNDLE), root, ignore=ignore)
    (root / "models").mkdir(exist_ok=True)
    for name in ("train", "inference"):
        path = root / "configs" / f"{name}.json"
        config = json.loads(path.read_text())
        values = TINY | TINY_LOCATOR if name == "inference" else TINY
        for key, value in values.items():
            *parents, last = key.split("#")
            section = config
            for parent in parents:
                section = section[parent]
            section[last] = value
        path.write_text(json.dumps(config))

    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(root / "configs" / "inference.json")
    torch.manual_seed(0)
    for part, name in (("network_def", "model.pt"), ("locator_def", "locator.pt")):
        torch.save(parser.get_parsed_content(part).state_dict(), root / "models" / name)
    return root


@pytest.fixture(scope="session")
def real_scans():
    """The real CT volumes, where this machine has them."""
    if not REAL.is_dir():
        pytest.skip(f"no real CT volumes at {REAL}")
    return REAL
