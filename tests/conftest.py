"""What several test modules stand on: a small data set, a small trained bundle, real scans where they are."""

import shutil
import signal
from pathlib import Path

import pytest
import torch

from bundle_runs import SLICE_BUNDLE, edit_config, opened
from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.find import find_bundle
from monai_attn.phantom import write_phantoms

REAL = Path(__file__).parents[2] / "shared" / "data" / "real"
# A network and a grid small enough for a test: one window takes milliseconds.
TINY = {
    "network_def#channels": [4, 8],
    "network_def#strides": [2],
    "network_def#deep_supervision": 0,
    "spacing": [8.0, 8.0, 8.0],
    "roi_size": [32, 32, 16],
}
# The values of the shipped weights say nothing of others, whose labels may be anything and anywhere.
UNCALIBRATED = {"temperature": 1.0, "interval": {}, "expected": {"1": {"inside": False}}}
TINY_SLICES = TINY | {"roi_size": [32, 32]}
TINY_LOCATOR = {
    "locator_def#channels": [4, 8],
    "locator_def#strides": [2],
    "locator#spacing": [16.0, 16.0, 16.0],
    "locator#volume_range": [35.0, 320.0],
    "locator#extent_range": [[55.0, 240.0], [22.0, 113.0], [42.0, 180.0]],
    "displayable_configs#focus": False,
}


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """What is compiled in a test is kept apart from what the user has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _interruptible():
    """A job in the background ignores Ctrl-C, and so would the processes that tests start and interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _repeatable():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A Decathlon folder of four coarse phantoms: LPS, RAS, RAS and oblique."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 4, seed=5, shape=(56, 48, 28), spacing=(7, 7, 7))
    return folder


@pytest.fixture
def phantom_scan(phantoms):
    """The image of the first phantom."""
    return sorted((phantoms / "imagesTr").iterdir())[0]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """A copy of the shipped bundle whose configs describe a tiny network, with weights that fit it."""
    root = tmp_path_factory.mktemp("bundle") / DEFAULT_BUNDLE
    changes = {"train": TINY, "inference": TINY | TINY_LOCATOR | UNCALIBRATED}
    copy_tiny(DEFAULT_BUNDLE, root, metadata={"calibration": {}}, **changes)
    save_weights(root, network_def="model.pt", locator_def="locator.pth")
    return root


@pytest.fixture(scope="session")
def tiny_slice_bundle(tmp_path_factory):
    """The same of the bundle that goes slice by slice."""
    root = tmp_path_factory.mktemp("bundle") / SLICE_BUNDLE
    changes = {"train": TINY_SLICES, "inference": TINY_SLICES | UNCALIBRATED}
    copy_tiny(SLICE_BUNDLE, root, metadata={"calibration": {}}, **changes)
    save_weights(root, network_def="model.pt")
    balance(root)
    return root


def copy_tiny(name, root, **changes):
    """A shipped bundle without its weights, with changes to its configs by name."""
    ignore = shutil.ignore_patterns("*.pt", "*.pth", "*.ts", "eval")
    shutil.copytree(find_bundle(name), root, ignore=ignore)
    (root / "models").mkdir(exist_ok=True)
    for config, values in changes.items():
        edit_config(root, config, values)


def save_weights(root, **parts):
    """Weights that fit, always the same, of the networks that a bundle's inference names."""
    parser = opened(root, "inference")
    torch.manual_seed(0)
    for part, name in parts.items():
        torch.save(parser.get_parsed_content(part).state_dict(), root / "models" / name)


def balance(root, foreground=0.5):
    """Move and stretch the logits until a part of a window of all intensities is clearly foreground."""
    network = opened(root, "inference").get_parsed_content("network_def").eval()
    path = root / "models" / "model.pt"
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state)
    size = opened(root, "inference")["roi_size"]
    with torch.inference_mode():
        ramp = torch.linspace(0, 1, size[0]).reshape(-1, *[1] * (len(size) - 1)).expand(size)
        channels = state["encoder.0.0.conv.weight"].shape[1]
        logits = network(ramp.expand(1, channels, *size))[0].flatten(1)
    medians = logits.median(dim=1).values
    logits = logits - medians[:, None]
    state["heads.0.bias"] -= medians
    state["heads.0.bias"][1] -= (logits[1] - logits[0]).quantile(1 - foreground)
    for name in ("heads.0.weight", "heads.0.bias"):
        state[name] *= 3 / logits.std(dim=1).mean()
    torch.save(state, path)


@pytest.fixture(scope="session")
def real_scans():
    """The real CT volumes, where this machine has them."""
    if not REAL.is_dir():
        pytest.skip(f"no real CT volumes at {REAL}")
    return REAL
