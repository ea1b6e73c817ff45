"""The values of a plan, their reasons, and that a bundle's configs take them as they are."""

import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from monai.bundle import ConfigParser

from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle import find_bundle
from monai_attn.planning.rules import LEAST_VOXELS, Base, base_of, make_plan, write_plan
from test_planning_layout import DATA, data

GIB = 2**30


@pytest.fixture
def bundle(tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(find_bundle(DEFAULT_BUNDLE) / "configs", root / "configs")
    return root


def test_the_base_is_read_from_the_configs(bundle):
    shown = {"sw_batch_size": 1, "sw_overlap": 0.5, "focus": True}
    assert base_of(bundle) == Base(3, 2, 2, shown)
    train = bundle / "configs" / "train.json"
    config = json.loads(train.read_text())
    config["network_def"] |= {"spatial_dims": 2, "deep_supervision": 1}
    config["num_samples"] = 8
    train.write_text(json.dumps(config))
    (bundle / "configs" / "inference.json").write_text("{}")
    assert base_of(bundle) == Base(2, 8, 1, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read as JSON"), ("{}", "network_def#spatial_dims in its train.json is None")],
)
def test_a_bundle_that_cannot_be_trained_is_named(bundle, content, message):
    (bundle / "configs" / "train.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        base_of(bundle)


@pytest.mark.parametrize("memory", [GIB, 24 * GIB])
@pytest.mark.parametrize("name", DATA)
def test_each_value_has_its_reason_and_is_plain(name, memory):
    plan = make_plan(DATA[name], memory)
    assert plan.reasons.keys() == plan.overrides.keys()
    assert plan.step_bytes <= memory
    assert json.loads(json.dumps(plan.as_json())) == plan.as_json()
    for reason in plan.reasons.values():
        assert "@" not in reason
        assert reason[0] not in "$%"


@pytest.mark.parametrize("config", ["train", "inference"])
@pytest.mark.parametrize("name", ["thick slices", "small"])
def test_the_overlay_builds_a_network_that_takes_a_window(bundle, config, name):
    path = write_plan(make_plan(DATA[name], GIB // 2, base_of(bundle)), bundle / "plan.json")
    parser = ConfigParser()
    parser.read_config([bundle / "configs" / f"{config}.json", path])
    parser["device"] = "cpu"
    plan = json.loads(path.read_text())
    assert parser.get("reasons")["spacing"] == plan["reasons"]["spacing"]
    network = parser.get_parsed_content("network").eval()
    assert [len(level[0].conv.weight) for level in network.encoder] == plan["network_def#channels"]
    with torch.inference_mode():
        logits = network(torch.zeros(1, 1, *plan["roi_size"]))
    assert logits.shape[1:] == (plan["num_classes"], *plan["roi_size"])
    preprocessing = parser.get_parsed_content(
        "train#preprocessing" if config == "train" else "preprocessing"
    )
    assert any(getattr(step, "spacing", None) == tuple(plan["spacing"])
               for step in preprocessing.transforms)  # fmt: skip
    if config == "inference":
        assert parser.get("displayable_configs")["sw_overlap"] == 0.5
        assert not parser.get_parsed_content("inferer").focus


def test_focus_is_mentioned_only_where_it_is_on():
    assert "displayable_configs" not in make_plan(data(), GIB).overrides
    off = Base(displayed={"focus": False, "sw_overlap": 0.5})
    assert "displayable_configs" not in make_plan(data(), GIB, off).overrides
    on = make_plan(data(), GIB, replace(off, displayed={"focus": True, "sw_overlap": 0.5}))
    assert on.overrides["displayable_configs"] == {"focus": False, "sw_overlap": 0.5}


def test_deep_supervision_gives_way_to_a_network_of_few_levels():
    few = make_plan(data((16, 16, 16), (7.0,) * 3, (50.0,) * 3), GIB)
    assert few.overrides["network_def#channels"] == [16, 32, 64]
    assert few.overrides["network_def#deep_supervision"] == 1


def test_the_overlay_is_a_line_for_each_value(tmp_path):
    plan = make_plan(data(), GIB)
    text = write_plan(plan, tmp_path / "plan.json").read_text()
    assert json.loads(text) == plan.as_json()
    for name, value in plan.overrides.items():
        assert f'    "{name}": {json.dumps(value)},\n' in text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-80, 180, [-210, 310]),  # 260 wide, and 130 on either side
        (-78, 52, [-150, 120]),
        (50, 50, [0, 100]),
        (-1000, 2900, [-1024, 2000]),
        (-1024, -1024, [-1024, -924]),
        (3000, 3000, [1900, 2000]),
    ],
)
def test_the_hu_window_is_that_of_the_foreground_and_half_as_much_on_either_side(
    low, high, expected
):
    found = replace(data(), hu={0.5: low, 99.5: high})
    assert make_plan(found, GIB).overrides["intensity_range"] == expected


def test_more_memory_gives_larger_windows_and_then_more_of_them():
    plans = [make_plan(data(cases=100), int(gib * GIB)) for gib in (0.5, 2, 8, 64)]
    voxels = [math.prod(plan.overrides["roi_size"]) for plan in plans]
    windows = [plan.overrides["batch_size"] * plan.overrides["num_samples"] for plan in plans]
    assert voxels[0] < voxels[1] < voxels[2] == voxels[3]
    assert windows == sorted(windows)
    assert (windows[0], windows[-1]) == (2, 8)


def test_few_cases_are_not_shown_at_once():
    assert make_plan(data(cases=3), 64 * GIB).overrides["batch_size"] == 1
    assert make_plan(data(cases=100), 64 * GIB).overrides["batch_size"] == 4


def test_without_a_gpu_the_cached_cases_take_their_part():
    found = data(cases=100)  # of 200 x 200 x 200 voxels: 4 GB
    alone, beside = (make_plan(found, 6 * GIB, cached=cached) for cached in (False, True))
    assert alone.cache_bytes == beside.cache_bytes == 100 * 5 * 200**3
    assert beside.step_bytes + beside.cache_bytes <= 6 * GIB
    assert beside.step_bytes < alone.step_bytes


def test_the_smallest_window_runs_alone_where_there_is_no_memory_for_two():
    smallest = make_plan(data(), 50 * 2**20)
    assert smallest.overrides["num_samples"] == smallest.overrides["batch_size"] == 1
    assert math.prod(smallest.overrides["roi_size"]) <= LEAST_VOXELS[3]


def test_too_little_memory_is_one_line_with_the_amount_that_would_do():
    with pytest.raises(ValueError, match="is too little") as raised:
        make_plan(data(), 10 * 2**20)
    text = str(raised.value)
    assert "\n" not in text
    assert text.startswith("memory (=10 MiB) is too little: a training step with one window of")
    enough = int(text.split(" MiB expected")[0].split("; ")[-1])
    assert make_plan(data(), (enough + 1) * 2**20)
    with pytest.raises(ValueError, match="the cached cases 224 MiB"):
        make_plan(data(), 100 * 2**20, cached=True)


def test_a_2d_network_is_planned_in_its_slices():
    thick = data((512, 512, 60), (0.8, 0.8, 5.0), cases=50)
    plan = make_plan(thick, 8 * GIB, Base(spatial_dims=2, num_samples=8))
    assert plan.overrides["spacing"] == [0.8, 0.8, 5.0]
    assert len(plan.overrides["roi_size"]) == 2
    assert plan.overrides["num_samples"] == 8


def test_classes_become_the_label_map():
    volumes = {"a": (1.0,), "b@c": (2.0,)}
    found = replace(data(), label_map={1: 0, 7: 1, 9: 2}, volumes_ml=volumes)
    plan = make_plan(found, GIB)
    assert plan.overrides["num_classes"] == 3
    assert plan.overrides["label_map"] == {"1": 0, "7": 1, "9": 2}
    assert "@" not in plan.reasons["num_classes"]
