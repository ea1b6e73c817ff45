"""The quantised network of a bundle runs only with a measured Dice that allows it."""

import re

import pytest

from monai_attn.bundle.int8 import INT8, find_int8
from monai_attn.bundle.open import open_bundle
from monai_attn.io.digests import file_sha256


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / INT8).write_text("<net/>")
    (tmp_path / "models" / "model.pt").write_bytes(b"weights")
    return tmp_path


def metadata(root, **changes):
    facts = {
        "weights_sha256": file_sha256(root / "models" / "model.pt"),
        "dice_difference": -0.003,
    }
    return {"int8": facts | changes}


def test_a_measured_network_is_found(bundle):
    assert find_int8(bundle, metadata(bundle)) == bundle / "models" / INT8


REFUSED = [  # what differs, the error
    ({"weights_sha256": "0"}, "was made from other weights"),
    ({"dice_difference": None}, "(got None, at most 0.003 either way)"),
    ({"dice_difference": -0.0031}, "(got -0.0031, at most 0.003 either way)"),
    ({"dice_difference": 0.0031}, "(got 0.0031, at most 0.003 either way)"),
    ({"dice_difference": float("nan")}, "(got nan, at most 0.003 either way)"),
]


@pytest.mark.parametrize(("changes", "error"), REFUSED)
def test_another_is_refused_in_one_line(bundle, changes, error):
    with pytest.raises(ValueError, match=re.escape(error)) as refused:
        find_int8(bundle, metadata(bundle, **changes))
    assert str(refused.value).startswith(f"{bundle / 'models' / INT8}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("missing", ["file", "figure"])
def test_nothing_runs_that_was_not_measured(bundle, missing):
    facts = {} if missing == "figure" else metadata(bundle)
    if missing == "file":
        (bundle / "models" / INT8).unlink()
    with pytest.raises(ValueError, match=r": has no measured int8 network\. Run monai-attn quanti"):
        find_int8(bundle, facts)


def test_a_bundle_says_so_before_it_runs(tiny_bundle):
    opened = open_bundle(tiny_bundle, "cpu", precision="int8")
    with pytest.raises(ValueError, match=f"^{re.escape(str(tiny_bundle))}: has no measured int8"):
        opened.segmenter()
    with pytest.raises(ValueError, match="a network with open gates cannot run in int8"):
        opened.segmenter(open_levels=[0])
