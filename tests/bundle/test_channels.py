"""The channels of a bundle are known before it is opened."""

import json
import shutil

import pytest

from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.channels import bundle_channels, channel_names
from scans import fails, touch

MR = [{"name": name, "scaling": "zscore"} for name in ("T1", "T2")]


def bundle(folder, channels):
    """A bundle's folder, as far as its channels are concerned."""
    touch(folder, "configs/inference.json", "models/model.pt")
    (folder / "configs" / "inference.json").write_text(json.dumps({"channels": channels}))
    return folder


def test_a_single_ct_has_no_names():
    assert bundle_channels(DEFAULT_BUNDLE) == ()


@pytest.mark.parametrize("name", ["run", "cv"])
def test_a_run_and_the_folds_of_a_cross_validation_have_those_of_their_network(tmp_path, name):
    bundle(tmp_path / "run", MR)
    for fold in (0, 1):
        bundle(tmp_path / "cv" / f"fold_{fold}", MR)
    listed = {"folds": [0, 1], "complete": {"0": 1, "1": 1}}
    (tmp_path / "cv" / "folds.json").write_text(json.dumps(listed))
    assert channel_names(tmp_path / name) == ("T1", "T2")


def test_a_fold_that_is_gone_is_named(tmp_path):
    cv = tmp_path / "cv"
    bundle(cv / "fold_0", MR)
    (cv / "folds.json").write_text(json.dumps({"folds": [0], "complete": {"0": 1}}))
    shutil.rmtree(cv / "fold_0" / "models")
    fails(f"{cv / 'fold_0'}: not trained to its end", channel_names, cv)


def test_malformed_channels_name_the_config(tmp_path):
    folder = bundle(tmp_path / "run", "T1")
    with pytest.raises(ValueError, match=f"^{folder}/configs/inference.json: "):
        channel_names(folder)
