import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SliceInferer

from monai_attn.inference.slice_inferer import SliceWindowInferer

SIZE = (22, 17, 9)
ROI = (8, 12)


def conv(channels=3):
    torch.manual_seed(1)
    return torch.nn.Conv2d(1, channels, 3, padding=1).eval().requires_grad_(False)


def image(size=SIZE, batch=1):
    return torch.rand(batch, 1, *size)


def identity(x):
    return x


# --- in the place of MONAI's

# what is passed to both, the image's size
ARGUMENTS = {
    "axial": ({}, SIZE),
    "coronal": ({"spatial_dim": 1}, SIZE),
    "sagittal": ({"spatial_dim": 0}, SIZE),
    "gaussian": ({"mode": "gaussian", "overlap": 0.5}, SIZE),
    "many slices at a time": ({"sw_batch_size": 7}, SIZE),
    "a window for a whole slice": ({"roi_size": (-1, -1)}, SIZE),
    "smaller than a window": ({"mode": "gaussian"}, (5, 17, 9)),
    "smaller on both axes": ({"padding_mode": "replicate"}, (5, 6, 9)),
    "one slice": ({}, (22, 17, 1)),
    "device": ({"device": "cpu", "sw_device": "cpu"}, SIZE),
}


@pytest.mark.parametrize(("options", "size"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_the_result_is_monais(options, size):
    options = {"roi_size": ROI, "spatial_dim": 2, "overlap": 0.25, **options}
    x, network = image(size), conv()
    ours = SliceWindowInferer(**options)(x, network)
    torch.testing.assert_close(ours, SliceInferer(**options)(x, network))


def test_arguments_that_monais_loop_alone_knows_reach_it():
    x, inferer = image(), SliceWindowInferer(ROI)
    out = inferer(x, conv(), buffer_steps=2, device="cpu")
    torch.testing.assert_close(out, inferer(x, conv()))


def test_each_slice_is_what_the_network_says_of_it_alone():
    x, network = image(batch=2), conv()
    out = SliceWindowInferer((32, 32), sw_batch_size=4)(x, network)
    alone = [network(torch.nn.functional.pad(s, (7, 8, 5, 5))) for s in x.unbind(-1)]
    alone = [s[:, :, 5:-5, 7:-8] for s in alone]
    torch.testing.assert_close(out, torch.stack(alone, dim=-1))


def test_one_number_and_an_overlap_for_each_axis_of_the_slice():
    inferer = SliceWindowInferer(8, overlap=(0.5, 0.0), spatial_dim=1)
    assert (inferer.roi_size, inferer.overlap) == ((8, 1, 8), (0.5, 0.0, 0.0))
    assert inferer.slice_size == (8, 8)
    starts = {
        (w[0].start, w[1].start, w[2].start) for w in inferer.plan(image((12, 2, 16))).windows
    }
    assert starts == {(x, y, z) for x in (0, 4) for y in (0, 1) for z in (0, 8)}


def test_arguments_reach_the_network():
    def scaled(x, factor, shift=0.0):
        return x * factor + shift

    x = image()
    torch.testing.assert_close(SliceWindowInferer(ROI)(x, scaled, 2.0, shift=1.0), 2 * x + 1)


def test_metadata_goes_along():
    x = MetaTensor(image(), affine=torch.diag(torch.tensor([2.0, 2, 3, 1])))
    out = SliceWindowInferer(ROI)(x, conv())
    torch.testing.assert_close(out.affine, x.affine)


def test_attention_of_a_coarser_grid_is_brought_to_the_slices():
    def network(x):
        return x, [torch.nn.functional.avg_pool2d(x, 2)]

    x = torch.linspace(0, 1, SIZE[2]).expand(1, 1, *SIZE)  # each slice of one value
    logits, coarse = SliceWindowInferer(ROI, overlap=0.5)(x, network)
    torch.testing.assert_close(logits, x.contiguous())
    torch.testing.assert_close(coarse, x.contiguous())


def test_outputs_with_names_keep_them():
    out = SliceWindowInferer(ROI)(image(), lambda x: {"a": x, "b": conv()(x)})
    assert {name: part.shape for name, part in out.items()} == {
        "a": (1, 1, *SIZE),
        "b": (1, 3, *SIZE),
    }


# --- looking only where there is something to see, in batches


def test_batches_hold_slices_of_several_depths():
    sizes = []

    def counting(x):
        sizes.append(tuple(x.shape))
        return x

    SliceWindowInferer((22, 17), sw_batch_size=4)(image(), counting)
    assert sizes == [(4, 1, 22, 17), (4, 1, 22, 17), (1, 1, 22, 17)]


def test_slices_outside_the_body_are_skipped_and_background():
    def lower(x):
        return torch.arange(40).expand(*x.shape[2:]) < 20

    x = image((22, 17, 40))
    inferer = SliceWindowInferer((22, 17), body_mask=lower)
    plan, out = inferer.plan(x), inferer(x, conv())
    assert (len(plan.windows), plan.total) == (21, 40)  # and one slice more
    torch.testing.assert_close(out[..., :21], SliceWindowInferer((22, 17))(x, conv())[..., :21])
    assert (out[:, 0, ..., 21:] > out[:, 1:, ..., 21:].amax(1)).all()


def test_memory_follows_the_slice_and_not_the_volume():
    inferer = SliceWindowInferer(ROI)
    short, long = (inferer.plan(image((22, 17, n))) for n in (9, 90))
    assert (short.axis, short.slabs) == (2, 9)
    assert long.stitch_bytes == short.stitch_bytes


def test_a_budget_makes_batches_smaller():
    inferer = SliceWindowInferer(ROI, sw_batch_size=8)
    full = inferer.plan(image())
    inferer.budget = full.stitch_bytes + full.window_bytes // 2
    assert inferer.plan(image()).batch == 4


# --- bad input

FAULTS = {
    "three numbers": ({"roi_size": (8, 8, 1)}, r"roi_size \(=\(8, 8, 1\)\) must be one number or"),
    "no such axis": ({"spatial_dim": 3}, r"spatial_dim \(=3\) must be 0, 1 or 2"),
    "overlap of 1": ({"overlap": 1.0}, r"must be at least 0 and below 1"),
}


@pytest.mark.parametrize(("options", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        SliceWindowInferer(**{"roi_size": ROI, **options})
