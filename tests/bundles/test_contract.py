"""Each bundle holds the contract that its clients hold it to."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow, create_workflow, load
from monai.transforms import RandFlipd, SaveImaged

from bundle_runs import opened
from conftest import balance
from monai_attn.bundle.open import open_bundle
from monai_attn.networks.gates import hard_gates
from monai_attn.training.schedule import PolynomialDecay
from monai_attn.transforms.checks import CheckLabeld
from monai_attn.transforms.pipelines import IgnoredAsInLabeld, without

SCHEMA = Path(__file__).parents[3] / "shared" / "schema" / "meta_schema_20240725.json"

# MONAI warns that a config is code each time one is opened
pytestmark = pytest.mark.filterwarnings(
    "ignore:parsing config_file:UserWarning", "ignore:executing the bundle config:UserWarning"
)


# --- files


def test_every_file_of_the_contract_is_there(each_shipped_bundle):
    names = ("metadata", "train", "inference", "evaluate", "multi_gpu_train", "multi_gpu_evaluate")
    expected = [f"configs/{name}.json" for name in names]
    overlays = ("attention", "baseline", "hard", "nnunet", "reinforce")
    expected += [f"configs/{name}.json" for name in overlays]
    expected += ["LICENSE", "configs/logging.conf", "models/model.pt"]
    expected += ["docs/README.md", "docs/data_license.txt"]
    assert [name for name in expected if not (each_shipped_bundle / name).is_file()] == []


def test_every_pt_file_is_a_model_of_the_bundle(each_shipped_bundle):
    """MONAI Label offers each of them."""
    assert [path.name for path in (each_shipped_bundle / "models").glob("*.pt")] == ["model.pt"]


def test_no_file_is_too_large_or_names_a_personal_path(each_shipped_bundle):
    for path in (
        p for p in each_shipped_bundle.rglob("*") if p.is_file() and "eval" not in p.parts
    ):
        assert path.stat().st_size < 25 * 2**20, path
        if path.suffix in (".json", ".md", ".txt", ".conf"):
            assert "/home/" not in path.read_text(), path


def test_metadata_has_the_mandatory_fields_and_its_version_in_the_changelog(each_shipped_bundle):
    metadata = json.loads((each_shipped_bundle / "configs" / "metadata.json").read_text())
    mandatory = (
        "schema version monai_version pytorch_version numpy_version task description authors"
    )
    mandatory += " required_packages_version copyright network_data_format changelog"
    assert set(mandatory.split()) <= set(metadata)
    assert metadata["version"] in metadata["changelog"]
    formats = metadata["network_data_format"]
    assert formats["outputs"]["pred"]["channel_def"]["0"] == "background"
    assert list(formats["inputs"]) == ["image"]
    assert "not for patients" in metadata["intended_use"]


def test_metadata_verifies_against_the_schema(each_shipped_bundle):
    jsonschema = pytest.importorskip("jsonschema")
    if not SCHEMA.is_file():
        pytest.skip(f"the schema of 20240725 is not at {SCHEMA}")
    metadata = json.loads((each_shipped_bundle / "configs" / "metadata.json").read_text())
    jsonschema.validate(metadata, json.loads(SCHEMA.read_text()))


def test_the_bundle_carries_the_licence_of_the_project(each_shipped_bundle):
    assert (each_shipped_bundle / "LICENSE").read_text() == (
        each_shipped_bundle.parents[1] / "LICENSE"
    ).read_text()


def test_train_and_inference_describe_one_network_and_one_input(each_shipped_bundle):
    train, inference = (
        json.loads((each_shipped_bundle / "configs" / f"{name}.json").read_text())
        for name in ("train", "inference")
    )
    for name in ("network_def", "spacing", "intensity_range", "num_classes"):
        assert train[name] == inference[name], name


def test_inference_and_evaluation_clean_labels_alike(each_shipped_bundle):
    inference, evaluate = (
        json.loads((each_shipped_bundle / "configs" / f"{name}.json").read_text())
        for name in ("inference", "evaluate")
    )
    for name in ("keep_largest", "keep_pieces_from", "fill_holes"):
        assert evaluate[name] == inference[name], name
        for steps in (inference["postprocessing"], evaluate["validate#postprocessing"]):
            assert steps[name] == f"@{name}"


# --- as MONAI's own clients open it


@pytest.mark.parametrize(("workflow", "configs"), [("train", ["train"]), ("infer", ["inference"])])
def test_a_workflow_has_every_property(each_tiny_bundle, phantoms, workflow, configs, tmp_path):
    config = ConfigWorkflow(
        config_file=[str(each_tiny_bundle / "configs" / f"{name}.json") for name in configs],
        meta_file=str(each_tiny_bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type=workflow,
        bundle_root=str(each_tiny_bundle),
        dataset_dir=str(phantoms),
        output_dir=str(tmp_path),
    )
    config.initialize()
    config.initialize()  # MonaiAlgo does it twice
    assert not config.check_properties()
    assert isinstance(config.network_def, torch.nn.Module)


@pytest.mark.parametrize("workflow", ["inference", "train"])
def test_the_network_loads_before_there_is_any_data_from_any_folder(
    each_tiny_bundle, workflow, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    network = load(
        each_tiny_bundle.name,
        bundle_dir=each_tiny_bundle.parent,
        workflow_type=workflow,
        device="cpu",
    )
    weights = torch.load(each_tiny_bundle / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(weights[name], part) for name, part in network.state_dict().items())


@pytest.mark.parametrize("workflow", ["inference", "train"])
def test_a_missing_data_folder_is_named_when_the_run_starts(each_tiny_bundle, workflow, tmp_path):
    folder = tmp_path / "gone"
    opened_workflow = create_workflow(
        config_file=str(each_tiny_bundle / "configs" / f"{workflow}.json"),
        workflow_type=workflow,
        logging_file=False,
        bundle_root=str(each_tiny_bundle),
        dataset_dir=str(folder),
    )
    with pytest.raises(RuntimeError) as raised:
        opened_workflow.run()
    assert [line for line in causes(raised.value) if line.startswith(f"{folder}: does not exist")]


def causes(error):
    """The texts of an error and of those behind it; MONAI puts errors of its own in front."""
    while error:
        yield str(error)
        error = error.__cause__


def test_inference_loads_the_weights_as_its_run_starts(each_tiny_bundle, phantoms, tmp_path):
    parser = opened(each_tiny_bundle, "inference")
    parser["dataset_dir"], parser["output_dir"] = str(phantoms / "imagesTr"), str(tmp_path)
    parser["device"] = torch.device("cpu")
    torch.manual_seed(1)  # the weights in the file are of another seed
    evaluator = parser.get_parsed_content("evaluator")
    evaluator.fire_event(Events.STARTED)
    weights = torch.load(each_tiny_bundle / "models" / "model.pt", weights_only=True)
    state = parser.get_parsed_content("network").state_dict()
    assert all(torch.equal(weights[name], part) for name, part in state.items())


@pytest.mark.parametrize("processes", ["one", "several"])
def test_training_starts_from_the_weights_in_pretrained(each_tiny_bundle, processes, monkeypatch):
    several = ["multi_gpu_train"] if processes == "several" else []
    parser = opened(each_tiny_bundle, "train", *several)
    path = each_tiny_bundle / "models" / "model.pt"
    parser["pretrained"], parser["device"] = str(path), torch.device("cpu")
    monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", lambda module, **_: module)
    torch.manual_seed(1)  # those in the file are of another seed
    network, weights = parser.get_parsed_content("network"), torch.load(path, weights_only=True)
    assert all(torch.equal(part, weights[name]) for name, part in network.state_dict().items())


def test_evaluation_reads_no_weights_to_start_from(each_tiny_bundle):
    parser = opened(each_tiny_bundle, "train", "evaluate")
    parser["pretrained"], parser["device"] = "gone.pt", torch.device("cpu")
    assert isinstance(parser.get_parsed_content("network"), torch.nn.Module)


def test_the_baseline_overlay_takes_the_gates_out(each_shipped_bundle):
    for names, gated in ((("train",), True), (("train", "baseline"), False)):
        net = opened(each_shipped_bundle, *names).get_parsed_content("network_def")
        assert any("gate" in name for name, _ in net.named_parameters()) == gated


@pytest.mark.parametrize(
    ("overlay", "estimator"), [("hard", "straight_through"), ("reinforce",) * 2]
)
def test_the_overlays_of_hard_gates_change_gates_and_loss_alone(
    each_shipped_bundle, overlay, estimator
):
    merged = opened(each_shipped_bundle, "train", overlay)
    net, loss = (merged.get_parsed_content(name) for name in ("network_def", "loss"))
    assert {gate.estimator for gate in loss.gates} == {estimator}
    assert loss.gates == hard_gates(net)
    configs = each_shipped_bundle / "configs"
    plain, hard = (json.loads((configs / f"{n}.json").read_text()) for n in ("train", overlay))
    assert hard["loss"]["loss"] == plain["loss"]
    handlers = [part["_target_"] for part in merged["train"]["handlers"]]
    more = [part["_target_"] for part in hard.get("+train#handlers", [])]
    assert handlers == [part["_target_"] for part in plain["train"]["handlers"]] + more
    assert merged["checkpoint_parts"]["loss"] == "@loss"  # its baseline is saved too


def test_the_recipe_of_nnunet_changes_how_it_trains_and_not_what(each_shipped_bundle):
    merged, plain = (
        opened(each_shipped_bundle, "train", "nnunet"),
        opened(each_shipped_bundle, "train"),
    )
    merged["network_def"]["channels"] = plain["network_def"]["channels"] = [4, 8, 8, 8, 8]
    for parser in (merged, plain):
        parser["device"], parser["pretrained"] = "cpu", None
        parser.parse(True)
    sgd, schedule = (merged.get_parsed_content(name) for name in ("optimizer", "lr_scheduler"))
    assert type(sgd) is torch.optim.SGD
    (group,) = sgd.param_groups
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.01, 0.99, True)
    assert isinstance(schedule, PolynomialDecay)
    steps = merged.get_parsed_content("train#preprocessing").transforms
    dims = merged["network_def"]["spatial_dims"]
    assert [step.flipper.spatial_axis for step in steps if isinstance(step, RandFlipd)] == [
        *range(dims)
    ]
    assert merged["train"]["handlers"][:-1] == plain["train"]["handlers"]
    for part in ("loss", "validate", "network_def"):
        assert merged[part] == plain[part]


@pytest.mark.parametrize(("quiet", "count"), [(False, 3), (True, 2)])
def test_only_the_first_of_several_ranks_prints_the_evaluation(each_shipped_bundle, quiet, count):
    parser = opened(each_shipped_bundle, "train", "evaluate")
    parser["quiet"] = quiet
    names = [type(one).__name__ for one in parser.get_parsed_content("validate#handlers")]
    assert len(names) == count
    assert ("StatsHandler" in names) is not quiet
    overlay = json.loads((each_shipped_bundle / "configs" / "multi_gpu_evaluate.json").read_text())
    assert overlay["quiet"] == "$dist.get_rank() > 0"


@pytest.mark.parametrize("ignore", [None, 9])
@pytest.mark.parametrize("overlay", [(), ("evaluate",), ("hard",), ("reinforce",), ("locator",)])
def test_an_ignore_value_reaches_all_that_counts_voxels(each_shipped_bundle, overlay, ignore):
    if overlay == ("locator",) and not (each_shipped_bundle / "configs" / "locator.json").is_file():
        pytest.skip("the 2D bundle has no locator")
    parser = opened(each_shipped_bundle, "train", *overlay)
    assert parser["ignore"] is None
    parser["ignore"], parser["device"] = ignore, "cpu"
    losses = [*parser.get_parsed_content("loss").modules()]
    said = [loss.ignore for loss in losses if hasattr(loss, "ignore")]
    assert said == [ignore] * (2 if overlay[:1] in (("hard",), ("reinforce",)) else 1)
    for part in ("validate",) if overlay == ("evaluate",) else ("train", "validate"):
        before, after = (
            parser.get_parsed_content(f"{part}#{p}processing").transforms for p in ("pre", "post")
        )
        assert [step.ignore for step in before if isinstance(step, CheckLabeld)] == [ignore]
        assert isinstance(after[-1], IgnoredAsInLabeld) == (ignore is not None)


@pytest.mark.parametrize("names", [("inference",), ("train", "evaluate")], ids=str)
def test_every_way_cleans_labels_as_the_command_line(each_tiny_bundle, phantoms, tmp_path, names):
    each_tiny_bundle = shutil.copytree(each_tiny_bundle, tmp_path / "bundle")
    balance(each_tiny_bundle, foreground=0.2)
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    opening = open_bundle(each_tiny_bundle, "cpu", backend="eager", precision="float32")
    expected = opening.segmenter()(scan)
    assert expected.pieces[1].in_all > 1, "there is something to clean"
    parser = opened(each_tiny_bundle, *names)
    parser["device"] = "cpu"
    prefix = "validate#" if len(names) > 1 else ""
    inferer, after = (
        parser.get_parsed_content(prefix + part) for part in ("inferer", "postprocessing")
    )
    image = opening.preprocessing({"image": str(scan)})["image"]
    with torch.inference_mode():
        pred = inferer(image[None], opening.network)[0]
    labels = without(after, SaveImaged)({"image": image, "pred": pred})["pred"]
    np.testing.assert_array_equal(labels[0], expected.labels)


@pytest.mark.parametrize("name", ["keep_largest", "fill_holes", "expected"])
def test_a_value_that_is_no_class_is_refused(each_tiny_bundle, tmp_path, name):
    root = tmp_path / "bundle"
    shutil.copytree(each_tiny_bundle, root)
    path = root / "configs" / "inference.json"
    value = {"2": {}} if name == "expected" else [2]
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(ValueError, match=name) as refused:
        open_bundle(root, "cpu")
    assert str(root) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
