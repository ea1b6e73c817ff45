from pathlib import Path

import numpy as np
import pytest

from monai_attn.io.labels import LARGEST_LABEL, labels_of
from monai_attn.io.volume import Volume
from scans import AFFINE


def volume(*values):
    data = np.array(values, np.float32).reshape(-1, 1, 1)
    return Volume(data.shape, AFFINE, 1, Path("a.nii"), data=data)


def test_labels_are_whole_numbers_as_float32_holds_them():
    labels = labels_of(volume(0, 1.0009, 2.9991, LARGEST_LABEL))
    assert labels.dtype == np.int32
    assert labels.ravel().tolist() == [0, 1, 3, 2**24 - 1]


@pytest.mark.parametrize("value", [0.5, 1.002, -1, 2**24, np.nan, np.inf, -np.inf, 1e30])
def test_what_is_no_label_is_named_with_its_place(value):
    fault = rf"a\.nii: value .* at voxel \(1, 0, 0\) is not a label .* 0 to {LARGEST_LABEL}\)"
    with pytest.raises(ValueError, match=fault):
        labels_of(volume(1, value, 1))
