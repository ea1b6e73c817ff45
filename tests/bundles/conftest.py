"""The shipped bundles and tiny ones, for tests that each of them is to pass."""

import pytest

from bundle_runs import SLICE_BUNDLE
from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.find import find_bundle

BUNDLES = {"3D": DEFAULT_BUNDLE, "2D": SLICE_BUNDLE}


@pytest.fixture(params=BUNDLES.values(), ids=BUNDLES.keys())
def each_shipped_bundle(request):
    """The folder of each shipped bundle."""
    return find_bundle(request.param)


@pytest.fixture(scope="module", params=["tiny_bundle", "tiny_slice_bundle"], ids=BUNDLES.keys())
def each_tiny_bundle(request):
    """The folder of a tiny one of each."""
    return request.getfixturevalue(request.param)
