import torch
from monai.data import MetaTensor

from monai_attn.datasets.ignore import IGNORED
from monai_attn.datasets.regions import Regions
from monai_attn.transforms.region_masks import RegionsToIndicesd, metric_outputs, region_masks

REGIONS = Regions({1: (1, 2), 2: (2,)})
LABEL = torch.tensor([[0, 1, 2, IGNORED]], dtype=torch.uint8)
MASKS = [[False, True, True, False], [False, False, True, False]]


def test_a_voxel_may_be_in_several_regions_and_an_ignored_one_is_in_none():
    assert region_masks(LABEL, REGIONS).tolist() == MASKS
    assert region_masks(LABEL[None], REGIONS, dim=1).tolist() == [MASKS]


def test_windows_can_be_centred_on_each_region_and_on_known_background():
    found = RegionsToIndicesd(REGIONS, 10)({"label": LABEL})["label_cls_indices"]
    assert [one.tolist() for one in found] == [[0], [1, 2], [2]]
    found = RegionsToIndicesd(REGIONS, 1)({"label": LABEL})["label_cls_indices"]
    assert [len(one) for one in found] == [1, 1, 1]


def test_metrics_get_masks_of_regions_or_the_labels_as_they_are():
    output = [{"pred": MetaTensor(LABEL), "label": LABEL}]
    predictions, labels = metric_outputs(REGIONS.content())(output)
    assert predictions[0].tolist() == labels[0].tolist() == MASKS
    assert type(predictions[0]) is torch.Tensor
    assert metric_outputs()(output)[1][0] is LABEL
