"""The values of a plan, their reasons, and that a bundle's configs take them as they are."""

import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from monai.bundle import ConfigParser

from fingerprints import DATA, data
from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.find import find_bundle
from monai_attn.datasets.label_classes import LabelClasses, choose_classes
from monai_attn.planning.rules import (
    CPU_VOXELS,
    LEAST_VOXELS,
    BundleDefaults,
    make_plan,
    read_bundle_defaults,
    write_plan,
)

GIB = 2**30
OWN = LabelClasses(("background", "pancreas"), {0: 0, 1: 1, 2: 1})  # of the shipped bundle
BASE = BundleDefaults(OWN)


def plan_for(found, memory, base=BASE, **options):
    return make_plan(found, memory, base, **options)


@pytest.fixture
def bundle(tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(find_bundle(DEFAULT_BUNDLE) / "configs", root / "configs")
    return root


def test_the_base_is_read_from_the_configs(bundle):
    assert read_bundle_defaults(bundle) == BundleDefaults(OWN, 3, 2, 2)
    train = bundle / "configs" / "train.json"
    config = json.loads(train.read_text())
    config["network_def"] |= {"spatial_dims": 2, "deep_supervision": 1}
    config |= {"num_samples": 8, "label_map": {"7": 1}}
    train.write_text(json.dumps(config))
    assert read_bundle_defaults(bundle) == BundleDefaults(
        replace(OWN, label_map={0: 0, 1: 1, 7: 1}), 2, 8, 1
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("{}", "network_def#spatial_dims in its train.json .got None, expected 2 or 3"),
    ],
)
def test_a_bundle_without_a_network_to_train_is_named(bundle, content, message):
    (bundle / "configs" / "train.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_bundle_defaults(bundle)


def test_a_bundle_that_does_not_name_its_classes_is_named(bundle):
    (bundle / "configs" / "metadata.json").write_text("{}")
    with pytest.raises(ValueError, match="'network_data_format' is not in its configs"):
        read_bundle_defaults(bundle)


@pytest.mark.parametrize("memory", [GIB, 24 * GIB])
@pytest.mark.parametrize("name", DATA)
def test_each_value_has_its_reason_and_is_plain(name, memory):
    plan = plan_for(DATA[name], memory)
    assert plan.reasons.keys() == plan.overrides.keys()
    assert plan.step_bytes <= memory
    assert json.loads(json.dumps(plan.as_json())) == plan.as_json()
    for reason in plan.reasons.values():
        assert "@" not in reason
        assert reason[0] not in "$%"


@pytest.mark.parametrize("config", ["train", "inference"])
@pytest.mark.parametrize("name", ["thick slices", "small"])
def test_the_overlay_builds_a_network_that_takes_a_window(bundle, config, name):
    path = write_plan(
        plan_for(DATA[name], GIB // 2, read_bundle_defaults(bundle)), bundle / "plan.json"
    )
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


def test_deep_supervision_gives_way_to_a_network_of_few_levels():
    few = plan_for(data((16, 16, 16), (7.0,) * 3, (50.0,) * 3), GIB)
    assert few.overrides["network_def#channels"] == [16, 32, 64]
    assert few.overrides["network_def#deep_supervision"] == 1


def test_the_overlay_is_a_line_for_each_value(tmp_path):
    plan = plan_for(data(), GIB)
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
    assert plan_for(found, GIB).overrides["intensity_range"] == expected


def test_more_memory_gives_larger_windows_and_then_more_of_them():
    plans = [plan_for(data(cases=100), int(gib * GIB)) for gib in (0.5, 2, 8, 64)]
    voxels = [math.prod(plan.overrides["roi_size"]) for plan in plans]
    windows = [plan.overrides["batch_size"] * plan.overrides["num_samples"] for plan in plans]
    assert voxels[0] < voxels[1] < voxels[2] == voxels[3]
    assert windows == sorted(windows)
    assert (windows[0], windows[-1]) == (2, 8)


def test_few_cases_are_not_shown_at_once():
    assert plan_for(data(cases=3), 64 * GIB).overrides["batch_size"] == 1
    assert plan_for(data(cases=100), 64 * GIB).overrides["batch_size"] == 4


def test_the_cache_holds_an_image_and_a_label_of_each_case():
    assert plan_for(data(cases=100), 6 * GIB).cache_bytes == 100 * 5 * 200**3


def test_on_a_cpu_windows_stay_small_and_the_reason_says_so():
    gpu, cpu = (plan_for(data(), 64 * GIB, on_cpu=on_cpu) for on_cpu in (False, True))
    assert math.prod(cpu.overrides["roi_size"]) <= CPU_VOXELS < math.prod(gpu.overrides["roi_size"])
    assert cpu.reasons["roi_size"].endswith("; more would be slow on a CPU")
    assert "CPU" not in gpu.reasons["roi_size"]


def test_where_memory_is_the_tighter_bound_a_cpu_changes_nothing():
    assert plan_for(data(), GIB, on_cpu=True) == plan_for(data(), GIB)


def test_the_smallest_window_runs_alone_where_there_is_no_memory_for_two():
    smallest = plan_for(data(), 50 * 2**20)
    assert smallest.overrides["num_samples"] == smallest.overrides["batch_size"] == 1
    assert math.prod(smallest.overrides["roi_size"]) <= LEAST_VOXELS[3]


def test_too_little_memory_is_one_line_with_the_amount_that_would_do():
    with pytest.raises(ValueError, match="is too little") as raised:
        plan_for(data(), 10 * 2**20)
    text = str(raised.value)
    assert "\n" not in text
    assert text.startswith("memory (=10 MiB) is too little for a training step with one window of")
    enough = int(text.split("(expected ")[1].split(" MiB or more)")[0])
    assert plan_for(data(), (enough + 1) * 2**20)


def test_a_2d_network_is_planned_in_its_slices():
    thick = data((512, 512, 60), (0.8, 0.8, 5.0), cases=50)
    plan = plan_for(thick, 8 * GIB, BundleDefaults(OWN, spatial_dims=2, num_samples=8))
    assert plan.overrides["spacing"] == [0.8, 0.8, 5.0]
    assert len(plan.overrides["roi_size"]) == 2
    assert plan.overrides["num_samples"] == 8


def test_chosen_classes_are_in_the_plan_with_the_choice_that_gives_them():
    chosen = choose_classes(["9=b", "7=a@c", "2=b"], {0, 1, 2, 7, 9}, {})
    plan = plan_for(replace(data(), classes=chosen), GIB)
    assert plan.overrides["num_classes"] == 3
    assert plan.overrides["label_map"] == {"0": 0, "1": 0, "2": 1, "7": 2, "9": 1}
    assert plan.reasons["num_classes"] == "background, b, a@c"
    written = plan.as_json()["labels"]
    assert written == ["2=b", "9=b", "7=a@c"]
    assert choose_classes(written, {0, 1, 2, 7, 9}, {}) == chosen


def test_the_bundles_own_classes_are_left_to_it():
    written = plan_for(replace(data(), classes=OWN), GIB).as_json()
    assert written.keys().isdisjoint({"num_classes", "label_map", "labels"})
