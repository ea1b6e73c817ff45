import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from monai_attn.inference.inferer import AttentionWindowInferer
from monai_attn.inference.locator import Region

SIZE = (22, 17, 30)
ROI = (8, 8, 12)


def conv(channels=3):
    torch.manual_seed(1)
    return torch.nn.Conv3d(1, channels, 3, padding=1).eval().requires_grad_(False)


def image(size=SIZE, batch=1):
    return torch.rand(batch, 1, *size)


def identity(x):
    return x


def constant(x):
    return torch.cat([torch.full_like(x, 0.25), torch.full_like(x, -3)], dim=1)


# --- in the place of MONAI's

# what is passed to both, the image's size
ARGUMENTS = {
    "overlap": ({"overlap": 0.5}, SIZE),
    "overlap for each axis": ({"overlap": (0, 0.25, 0.75)}, SIZE),
    "no overlap": ({"overlap": 0}, SIZE),
    "gaussian": ({"mode": "gaussian"}, SIZE),
    "sigma_scale": ({"mode": "gaussian", "sigma_scale": 0.3}, SIZE),
    "sw_batch_size": ({"sw_batch_size": 4}, SIZE),
    "a window for a whole axis": ({"roi_size": (8, -1, 12)}, SIZE),
    "one number": ({"roi_size": 8}, SIZE),
    "smaller than a window": ({"mode": "gaussian"}, (5, 17, 9)),
    "smaller on every axis": ({}, (5, 3, 9)),
    "cval": ({"cval": -3.0}, (5, 17, 9)),
    "padding_mode": ({"padding_mode": "replicate"}, (5, 17, 9)),
    "as large as a window": ({}, ROI),
    "buffer_steps": ({"buffer_steps": 2, "overlap": 0.5}, SIZE),
    "cpu_thresh": ({"cpu_thresh": 10}, SIZE),
    "device": ({"device": "cpu", "sw_device": "cpu"}, SIZE),
    "longest last": ({"mode": "gaussian"}, (9, 10, 50)),
    "longest first": ({"mode": "gaussian"}, (50, 9, 10)),
}


@pytest.mark.parametrize(("options", "size"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_the_result_is_monais(options, size):
    options = {"roi_size": ROI, "overlap": 0.25, **options}
    x, network = image(size), conv()
    ours = AttentionWindowInferer(**options)(x, network)
    torch.testing.assert_close(ours, SlidingWindowInferer(**options)(x, network))


def test_progress_is_shown(capsys):
    AttentionWindowInferer(ROI, progress=True)(image(), identity)
    assert "100%" in capsys.readouterr().out


def test_two_dimensions_and_a_batch():
    x, network = torch.rand(3, 2, 20, 31), torch.nn.Conv2d(2, 4, 3, padding=1).requires_grad_(False)
    options = {"roi_size": (8, 16), "overlap": 0.5, "mode": "gaussian"}
    theirs = SlidingWindowInferer(**options)(x, network)
    torch.testing.assert_close(AttentionWindowInferer(**options)(x, network), theirs)


def test_arguments_reach_the_network():
    def scaled(x, factor, shift=0.0):
        return x * factor + shift

    x = image()
    torch.testing.assert_close(
        AttentionWindowInferer(ROI)(x, scaled, 2.0, shift=1.0),
        SlidingWindowInferer(ROI)(x, scaled, 2.0, shift=1.0),
    )


def test_with_coord_the_network_gets_the_windows_place():
    def first(x, where):
        return x * 0 + where[0][2].start

    x = image()
    theirs = SlidingWindowInferer(ROI, with_coord=True)(x, first)
    torch.testing.assert_close(AttentionWindowInferer(ROI, with_coord=True)(x, first), theirs)


def test_metadata_goes_along():
    x = MetaTensor(image(), affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))
    out = AttentionWindowInferer(ROI)(x, conv())
    assert isinstance(out, MetaTensor)
    torch.testing.assert_close(out.affine, x.affine)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("mode", ["constant", "gaussian"])
def test_no_seam_shows(axis, mode):
    """Whatever axis the slabs follow: an identity gives back its input, a constant a constant."""
    size = [11, 12, 13]
    size[axis] = 40
    x = image(size)
    inferer = AttentionWindowInferer(8, overlap=0.5, mode=mode)
    assert inferer.plan(x).axis == axis
    torch.testing.assert_close(inferer(x, identity), x)
    torch.testing.assert_close(inferer(x, constant), constant(x))


def test_several_outputs_are_brought_to_the_windows_grid():
    def network(x):
        coarse = torch.nn.functional.avg_pool3d(x, 2)
        return constant(x), [x * 2, coarse * 0 + 0.5]

    x = image()
    logits, double, half = AttentionWindowInferer(ROI, overlap=0.5)(x, network)
    torch.testing.assert_close(logits, constant(x))
    torch.testing.assert_close(double, 2 * x)
    torch.testing.assert_close(half, torch.full_like(x, 0.5))


def test_outputs_with_names_keep_them():
    out = AttentionWindowInferer(ROI)(image(), lambda x: {"a": x, "b": constant(x)})
    assert {name: part.shape[1] for name, part in out.items()} == {"a": 1, "b": 2}


# --- looking only where there is something to see


def counting(network):
    seen = []

    def run(x):
        seen.extend([1] * len(x))
        return network(x)

    return run, seen


def half_body(x):
    """The first half along the first axis, on a mask of a quarter of the resolution."""
    return torch.arange(x.shape[2] // 4)[:, None, None].expand(-1, 4, 7) < x.shape[2] // 8


def test_windows_outside_the_body_are_background():
    x = image((48, 17, 30))
    network, seen = counting(conv())
    inferer = AttentionWindowInferer(ROI, overlap=0, body_mask=half_body)
    plan = inferer.plan(x)
    out, everywhere = inferer(x, network), AttentionWindowInferer(ROI, overlap=0)(x, conv())
    assert len(seen) == len(plan.windows) == plan.total - plan.skipped["outside the body"]
    assert 0 < len(seen) < plan.total
    torch.testing.assert_close(out[:, :, :24], everywhere[:, :, :24])
    assert (out[:, 0, 40:] > out[:, 1:, 40:].amax(1)).all()
    assert torch.isfinite(out).all()


def test_windows_outside_the_body_are_in_no_region():
    inferer = AttentionWindowInferer(
        ROI, overlap=0, body_mask=half_body, regions={"1": [1, 2, 3], "2": [2, 3], "3": [3]}
    )
    out = inferer(image((48, 17, 30)), conv())
    assert (out[:, :, 40:] < -10).all()
    assert (out[:, :, :16] > -10).all()


def test_where_there_is_no_body_one_window_gives_the_channels():
    inferer = AttentionWindowInferer(ROI, body_mask=lambda x: torch.zeros(x.shape[2:], dtype=bool))
    assert len(inferer.plan(image()).windows) == 1
    assert inferer(image(), conv(5)).shape == (1, 5, *SIZE)


def spot(*where):
    """A locator that finds a small box, at half of the resolution."""

    def locate(x):
        mask = torch.zeros([n // 2 for n in x.shape[2:]], dtype=torch.bool)
        mask[where] = True
        return Region(mask)

    return locate


SPOT = spot(slice(8, 10), slice(4, 5), slice(10, 12))  # 16..20, 8..10, 20..24 of the image


def test_focus_runs_the_windows_around_the_region_alone():
    x = image((48, 32, 40))
    network, seen = counting(conv())
    inferer = AttentionWindowInferer(ROI, overlap=0.5, mode="gaussian", locator=SPOT)
    plan = inferer.plan(x)
    out = inferer(x, network)
    assert (plan.mode, len(plan.windows), len(seen)) == ("focus", 1, 1)
    assert plan.skipped["outside the region"] == plan.total - 1
    near = (slice(None), slice(None), slice(16, 20), slice(8, 10), slice(20, 24))
    torch.testing.assert_close(out[near], conv()(x)[near])
    assert (out.argmax(1)[:, 30:] == 0).all()


def test_a_region_larger_than_a_window_takes_several():
    wide = spot(slice(2, 20), slice(4, 5), slice(10, 12))
    plan = AttentionWindowInferer(ROI, overlap=0.5, locator=wide).plan(image((48, 32, 40)))
    covered = torch.zeros(48, dtype=torch.bool)
    for window in plan.windows:
        covered[window[0]] = True
    assert covered[4:40].all()
    assert len(plan.windows) < plan.total


@pytest.mark.parametrize("where", [(0, 0, 0), (-1, -1, -1)])
def test_a_region_at_the_volumes_edge(where):
    plan = AttentionWindowInferer(ROI, locator=spot(*where)).plan(image())
    (window,) = plan.windows
    assert all(s.start >= 0 and s.stop <= n for s, n in zip(window, SIZE, strict=True))
    assert AttentionWindowInferer(ROI, locator=spot(*where))(image(), conv()).shape[2:] == SIZE


def test_focus_in_a_volume_smaller_than_a_window():
    x = image((6, 7, 30))
    out = AttentionWindowInferer(ROI, locator=spot(2, 2, 10))(x, identity)
    torch.testing.assert_close(out[..., 16:24], x[..., 16:24])


def test_without_focus_the_locator_is_not_asked():
    def asked(x):
        raise AssertionError

    plan = AttentionWindowInferer(ROI, locator=asked, focus=False).plan(image())
    assert (plan.mode, plan.skipped, len(plan.windows)) == ("full", {}, plan.total)


def test_where_the_locator_finds_nothing_all_windows_run(caplog):
    inferer = AttentionWindowInferer(ROI, locator=lambda x: Region(None, "nothing there"))
    plan = inferer.plan(image())
    assert (plan.mode, plan.fallback, len(plan.windows)) == ("full", "nothing there", plan.total)
    assert inferer(image(), identity).shape == (1, 1, *SIZE)
    assert caplog.messages == ["full mode: nothing there"]


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ("a.nii", ["a.nii: ", "a.nii: "]),
        (["a.nii", "b.nii"], ["a.nii: ", "b.nii: "]),
        ([], ["", ""]),
    ],
)
def test_every_result_says_that_all_windows_ran(caplog, files, named):
    """Also the second of the same scan, as in a server."""
    inferer = AttentionWindowInferer(ROI, locator=lambda x: Region(None, "nothing there"))
    batch = MetaTensor(image().expand(2, -1, -1, -1, -1), meta={"filename_or_obj": files})
    for _ in range(2):
        inferer(batch, identity)
    assert caplog.messages == 2 * [f"{name}full mode: nothing there" for name in named]


def test_an_empty_region_is_nothing_found():
    plan = AttentionWindowInferer(ROI, locator=spot(slice(0, 0), 0, 0)).plan(image())
    assert (plan.mode, plan.fallback) == ("full", "the locator found nothing")


def test_a_region_that_takes_more_windows_than_the_body_is_not_worth_it():
    far = AttentionWindowInferer(
        ROI,
        overlap=0,
        body_mask=lambda x: spot(0, 0, 0)(x).mask,
        locator=lambda x: Region(torch.ones(x.shape[2:], dtype=torch.bool)),
    )
    plan = far.plan(image((48, 48, 48)))
    assert plan.mode == "full"
    assert plan.fallback == "the locator's region takes more windows than the whole body"


def test_a_name_holds_one_tensor():
    with pytest.raises(ValueError, match="must give a tensor for each name"):
        AttentionWindowInferer(ROI)(image(), lambda x: {"a": x, "b": [x, x]})


def test_a_locator_that_fails_is_named():
    def broken(x):
        raise IndexError("no such\nlayer")

    with pytest.raises(
        RuntimeError, match=r"^the locator failed \(IndexError: no such layer\); use mode full$"
    ):
        AttentionWindowInferer(ROI, locator=broken).plan(image())


# --- memory


def test_a_budget_makes_batches_smaller():
    inferer = AttentionWindowInferer(ROI, sw_batch_size=8)
    full = inferer.plan(image())
    inferer.budget = full.stitch_bytes + full.window_bytes // 2
    plan = inferer.plan(image())
    assert plan.batch == 4
    assert plan.stitch_bytes + plan.window_bytes <= inferer.budget


def test_a_budget_below_one_window_is_refused():
    inferer = AttentionWindowInferer(ROI, budget="10KiB")
    with pytest.raises(ValueError, match=r"budget \(=10 KiB\) is below the .* allow .*iB or"):
        inferer(image(), conv())


def test_out_of_memory_is_caught_once():
    """Then it goes on window by window; a second time is the end."""
    network = conv()

    def scarce(x):
        if len(x) > 1:
            raise torch.OutOfMemoryError("8 GiB wanted")
        return network(x)

    x = image()
    inferer = AttentionWindowInferer(ROI, sw_batch_size=4, overlap=0.5)
    torch.testing.assert_close(inferer(x, scarce), inferer(x, network))

    def none(x):
        raise torch.OutOfMemoryError("8 GiB wanted")

    with pytest.raises(torch.OutOfMemoryError):
        inferer(x, none)


# --- bad input

FAULTS = {
    "overlap of 1": ({"overlap": 1.0}, r"overlap \(=1.0\) must be at least 0 and below 1"),
    "overlap below 0": ({"overlap": (0, -0.1, 0)}, r"overlap \(=\(0, -0.1, 0\)\) must be at"),
    "no batch": ({"sw_batch_size": 0}, r"sw_batch_size \(=0\) must be at least 1"),
    "budget": ({"budget": "many"}, r"memory \(='many'\) must be an amount above 0 with its unit"),
}


@pytest.mark.parametrize(("options", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        AttentionWindowInferer(ROI, **options)
