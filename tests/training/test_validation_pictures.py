"""A picture of one validation case at each validation, which changes nothing in the training."""

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine
from monai.data import Dataset
from monai.engines import SupervisedEvaluator
from monai.inferers import SliceInferer, SlidingWindowInferer

from monai_attn import AttentionUNet
from monai_attn.inference.autocast import AutocastInferer
from monai_attn.training.validation_pictures import ValidationPictures
from monai_attn.transforms.pipelines import discretize

SHAPE = (12, 10, 24)
SLICE = 15  # with the largest area of the reference


class Notes:
    """Stands for TensorBoard's writer."""

    def __init__(self):
        self.pictures = []

    def add_image(self, tag, pixels, epoch, dataformats):
        assert dataformats == "HWC"
        self.pictures.append((tag, epoch, pixels))


def network(dims=3, **options):
    torch.manual_seed(0)
    return AttentionUNet(
        dims, 1, 2, channels=(4, 4, 4), strides=(2, 2), gated_levels=[0, 1], **options
    )


def case(number):
    torch.manual_seed(number)
    label = torch.zeros(1, *SHAPE, dtype=torch.uint8)
    label[:, 4:6, 4:6, 10:20] = 1
    label[:, 4:8, 4:8, SLICE] = 1
    return {"image": torch.rand(1, *SHAPE), "label": label}


def validated(net, inferer=None, roi_size=(8, 8, 8), epochs=1):
    """Validate two cases; the pictures, and the validator."""
    notes = Notes()
    files = [{"label": f"labels/case_{number}.nii.gz"} for number in (0, 1)]
    loader = torch.utils.data.DataLoader(
        Dataset(files, lambda file: case(files.index(file))), batch_size=1
    )
    validator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        network=net,
        inferer=AutocastInferer(inferer or SlidingWindowInferer((8, 8, 8)), "float32"),
        postprocessing=discretize(),
    )
    history = SimpleNamespace(folder="run", validator=validator, events=lambda epoch: notes)
    ValidationPictures(history, net, roi_size).attach(Engine(lambda *_: None))
    for epoch in range(1, epochs + 1):
        validator.run(epoch)
    return notes.pictures, validator


def test_each_validation_adds_one_picture_of_the_first_case():
    pictures, _ = validated(network(), epochs=2)
    assert [(tag, epoch) for tag, epoch, _ in pictures] == [
        ("validation/case_0", 1),
        ("validation/case_0", 2),
    ]
    assert pictures[0][2].shape == (160, 3 * 192 + 4, 3)


def test_the_attention_is_that_of_the_slice(monkeypatch):
    seen = {}

    def keep(image, reference, labels, attention, spacing):
        seen.update(image=image, reference=reference, labels=labels, attention=attention)
        return 0

    monkeypatch.setattr("monai_attn.training.validation_pictures.slice_picture", keep)
    net = network().eval()
    inferer = SlidingWindowInferer(SHAPE)
    validated(net, inferer, roi_size=SHAPE)
    image = case(0)["image"][None]
    with torch.no_grad():
        logits, maps = net.forward_with_attention(image)
    whole = torch.nn.functional.interpolate(maps[0], size=SHAPE, mode="nearest-exact")
    assert torch.allclose(torch.as_tensor(seen["attention"]), whole[0, 0, ..., SLICE], atol=1e-5)
    assert (torch.as_tensor(seen["image"]) == image[0, 0, ..., SLICE]).all()
    assert (torch.as_tensor(seen["labels"]) == logits.argmax(1)[0, ..., SLICE]).all()
    assert seen["reference"].sum() == 16


def test_a_network_that_goes_slice_by_slice_has_pictures_too():
    inferer = SliceInferer(spatial_dim=2, roi_size=(8, 8), sw_batch_size=4)
    (picture,), _ = validated(network(2), inferer, roi_size=(8, 8))
    assert picture[2].shape == (160, 3 * 192 + 4, 3)


def test_a_network_without_gates_has_no_attention_to_show():
    (picture,), _ = validated(plain())
    assert picture[2].shape == (160, 2 * 192 + 2, 3)


def plain():
    return AttentionUNet(3, 1, 2, channels=(4, 4, 4), strides=(2, 2), gate=None)


def test_random_numbers_and_the_result_stay_as_they_are():
    net = network(dropout=0.5)
    torch.manual_seed(7)
    _, validator = validated(net)
    state = torch.random.get_rng_state()
    validator.run(2)
    after = torch.random.get_rng_state()
    torch.random.set_rng_state(state)
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=validator.data_loader,
        network=net,
        inferer=validator.inferer,
    ).run(2)
    assert (torch.random.get_rng_state() == after).all()


def test_a_fault_is_a_warning_and_the_training_goes_on():
    net = network()
    net.forward_with_attention = lambda x: 1 / 0
    with pytest.warns(UserWarning, match=r"run: epoch 1: no picture .*division by zero"):
        pictures, _ = validated(net, epochs=2)
    assert pictures == []
