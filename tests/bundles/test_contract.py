"""Each bundle holds the contract that its clients hold it to."""

import json
import re
import shutil
from pathlib import Path

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.bundle import (
    ConfigWorkflow,
    ckpt_export,
    create_workflow,
    load,
    onnx_export,
    verify_net_in_out,
)
from monai.transforms import RandFlipd, SaveImaged

from bundle_runs import SLICE_BUNDLE, assert_on_the_grid_of, bundle_run, opened
from conftest import balance
from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.find import find_bundle
from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.cases import find_cases, find_images
from monai_attn.metrics.evaluation import evaluate_files
from monai_attn.networks.gates import hard_gates
from monai_attn.runs.batch import segment_files
from monai_attn.runs.output_paths import output_paths
from monai_attn.training.checkpoints import Checkpoints
from monai_attn.training.schedule import PolynomialDecay
from monai_attn.training.shared_handler import SharedHandler
from monai_attn.transforms.checks import CheckLabeld
from monai_attn.transforms.pipelines import IgnoredAsInLabeld, without

BUNDLES = {"3D": DEFAULT_BUNDLE, "2D": SLICE_BUNDLE}
SCHEMA = Path(__file__).parents[3] / "shared" / "schema" / "meta_schema_20240725.json"
MONAIS = {  # inferers, by the dimensions of a window
    3: {"_target_": "SlidingWindowInferer"},
    2: {"_target_": "SliceInferer", "spatial_dim": 2},
}

# MONAI warns that a config is code each time one is opened
pytestmark = pytest.mark.filterwarnings(
    "ignore:parsing config_file:UserWarning", "ignore:executing the bundle config:UserWarning"
)


@pytest.fixture(params=BUNDLES.values(), ids=BUNDLES.keys())
def shipped(request):
    """The folder of each shipped bundle."""
    return find_bundle(request.param)


@pytest.fixture(scope="module", params=["tiny_bundle", "tiny_slice_bundle"], ids=BUNDLES.keys())
def tiny(request):
    """The folder of a tiny one of each."""
    return request.getfixturevalue(request.param)


# --- files


def test_every_file_of_the_contract_is_there(shipped):
    names = ("metadata", "train", "inference", "evaluate", "multi_gpu_train", "multi_gpu_evaluate")
    expected = [f"configs/{name}.json" for name in names]
    overlays = ("attention", "baseline", "hard", "nnunet", "reinforce")
    expected += [f"configs/{name}.json" for name in overlays]
    expected += ["LICENSE", "configs/logging.conf", "models/model.pt"]
    expected += ["docs/README.md", "docs/data_license.txt"]
    assert [name for name in expected if not (shipped / name).is_file()] == []


def test_every_pt_file_is_a_model_of_the_bundle(shipped):
    """MONAI Label offers each of them."""
    assert [path.name for path in (shipped / "models").glob("*.pt")] == ["model.pt"]


def test_no_file_is_too_large_or_names_a_personal_path(shipped):
    for path in (p for p in shipped.rglob("*") if p.is_file() and "eval" not in p.parts):
        assert path.stat().st_size < 25 * 2**20, path
        if path.suffix in (".json", ".md", ".txt", ".conf"):
            assert "/home/" not in path.read_text(), path


def test_metadata_has_the_mandatory_fields_and_its_version_in_the_changelog(shipped):
    metadata = json.loads((shipped / "configs" / "metadata.json").read_text())
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


def test_metadata_verifies_against_the_schema(shipped):
    jsonschema = pytest.importorskip("jsonschema")
    if not SCHEMA.is_file():
        pytest.skip(f"the schema of 20240725 is not at {SCHEMA}")
    metadata = json.loads((shipped / "configs" / "metadata.json").read_text())
    jsonschema.validate(metadata, json.loads(SCHEMA.read_text()))


def test_the_bundle_carries_the_licence_of_the_project(shipped):
    assert (shipped / "LICENSE").read_text() == (shipped.parents[1] / "LICENSE").read_text()


def test_train_and_inference_describe_one_network_and_one_input(shipped):
    train, inference = (
        json.loads((shipped / "configs" / f"{name}.json").read_text())
        for name in ("train", "inference")
    )
    for name in ("network_def", "spacing", "intensity_range", "num_classes"):
        assert train[name] == inference[name], name


def test_inference_and_evaluation_clean_labels_alike(shipped):
    inference, evaluate = (
        json.loads((shipped / "configs" / f"{name}.json").read_text())
        for name in ("inference", "evaluate")
    )
    for name in ("keep_largest", "keep_pieces_from", "fill_holes"):
        assert evaluate[name] == inference[name], name
        for steps in (inference["postprocessing"], evaluate["validate#postprocessing"]):
            assert steps[name] == f"@{name}"


# --- as MONAI's own clients open it


@pytest.mark.parametrize(("workflow", "configs"), [("train", ["train"]), ("infer", ["inference"])])
def test_a_workflow_has_every_property(tiny, phantoms, workflow, configs, tmp_path):
    config = ConfigWorkflow(
        config_file=[str(tiny / "configs" / f"{name}.json") for name in configs],
        meta_file=str(tiny / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type=workflow,
        bundle_root=str(tiny),
        dataset_dir=str(phantoms),
        output_dir=str(tmp_path),
    )
    config.initialize()
    config.initialize()  # MonaiAlgo does it twice
    assert not config.check_properties()
    assert isinstance(config.network_def, torch.nn.Module)


@pytest.mark.parametrize("workflow", ["inference", "train"])
def test_the_network_loads_before_there_is_any_data_from_any_folder(
    tiny, workflow, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    network = load(tiny.name, bundle_dir=tiny.parent, workflow_type=workflow, device="cpu")
    weights = torch.load(tiny / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(weights[name], part) for name, part in network.state_dict().items())


@pytest.mark.parametrize("workflow", ["inference", "train"])
def test_a_missing_data_folder_is_named_when_the_run_starts(tiny, workflow, tmp_path):
    folder = tmp_path / "gone"
    opened_workflow = create_workflow(
        config_file=str(tiny / "configs" / f"{workflow}.json"),
        workflow_type=workflow,
        logging_file=False,
        bundle_root=str(tiny),
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


def test_inference_loads_the_weights_as_its_run_starts(tiny, phantoms, tmp_path):
    parser = opened(tiny, "inference")
    parser["dataset_dir"], parser["output_dir"] = str(phantoms / "imagesTr"), str(tmp_path)
    parser["device"] = torch.device("cpu")
    torch.manual_seed(1)  # the weights in the file are of another seed
    evaluator = parser.get_parsed_content("evaluator")
    evaluator.fire_event(Events.STARTED)
    weights = torch.load(tiny / "models" / "model.pt", weights_only=True)
    state = parser.get_parsed_content("network").state_dict()
    assert all(torch.equal(weights[name], part) for name, part in state.items())


def test_a_federated_client_trains_and_evaluates(tiny, phantoms, tmp_path):
    """NVFlare's MonaiAlgo, which opens the configs before it knows where the bundle lies."""
    from monai.fl.client import MonaiAlgo
    from monai.fl.utils.constants import ExtraItems
    from monai.fl.utils.exchange_object import ExchangeObject

    root = tmp_path / "bundle"
    shutil.copytree(tiny, root)
    config = root / "configs" / "train.json"
    settings = {"dataset_dir": str(phantoms), "output_dir": str(tmp_path), "val_interval": 1}
    config.write_text(json.dumps({**json.loads(config.read_text()), **settings}))
    client = MonaiAlgo(bundle_root=str(root), local_epochs=1, send_weight_diff=False)
    client.initialize(extra={ExtraItems.CLIENT_NAME: "site"})
    weights = client.get_weights(extra={}).weights
    before = {name: value.clone() for name, value in weights.items()}
    for _ in range(2):  # rounds
        client.train(ExchangeObject(weights=weights), extra={})
    assert all(torch.equal(before[name], value) for name, value in weights.items())
    trained = client.get_weights(extra={})
    assert trained.statistics["num_executed_iterations"] > 0
    assert any(not torch.equal(before[name], part) for name, part in trained.weights.items())
    assert "val_mean_dice" in client.evaluate(ExchangeObject(weights=weights), extra={}).metrics
    client.finalize()


def test_net_in_and_out_verify(tiny):
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(tiny / "configs" / "metadata.json"),
        config_file=str(tiny / "configs" / "inference.json"),
        device="cpu",
    )


def test_ckpt_export_makes_a_torchscript_of_the_same_network(tiny, tmp_path):
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(tiny / "models" / "model.pt"),
        meta_file=str(tiny / "configs" / "metadata.json"),
        config_file=str(tiny / "configs" / "inference.json"),
    )
    assert_same_network(torch.jit.load(str(tmp_path / "model.ts")), tiny)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # the exporter's
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_onnx_export_makes_the_same_network_for_any_size(tiny, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    x = window(tiny)
    free = {axis: f"axis_{axis}" for axis in range(x.ndim) if axis != 1}
    onnx_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.onnx"),
        ckpt_file=str(tiny / "models" / "model.pt"),
        meta_file=str(tiny / "configs" / "metadata.json"),
        config_file=str(tiny / "configs" / "inference.json"),
        input_shape=[2, *x.shape[1:]],  # one window would be exported as the only batch size
        use_trace=True,
        converter_kwargs={"input_names": ["image"], "dynamic_axes": {"image": free}},
    )
    session = onnxruntime.InferenceSession(
        str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"]
    )

    def exported(x):
        return torch.from_numpy(session.run(None, {"image": x.numpy()})[0])

    channels, dims = x.shape[1], x.ndim - 2
    for batch, size in ((1, x.shape[2:]), (1, (48, 16, 32)[:dims]), (3, (35, 17, 22)[:dims])):
        assert_same_network(exported, tiny, torch.rand(batch, channels, *size))


def window(root):
    parser = opened(root, "inference")
    return torch.rand(1, parser.get("slice_channels", 1), *parser["roi_size"])


def assert_same_network(exported, root, x=None):
    net = opened(root, "inference").get_parsed_content("network_def").eval()
    net.load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True))
    x = window(root) if x is None else x
    torch.testing.assert_close(exported(x), net(x), atol=1e-4, rtol=0)


def test_monai_label_may_set_the_device_dropout_and_an_image_path(tiny, phantoms):
    parser = opened(tiny, "inference")
    parser["device"], parser["network_def#dropout"] = "cpu", 0.2
    network = parser.get_parsed_content("network").eval()
    assert any(isinstance(m, torch.nn.Dropout) and m.p == 0.2 for m in network.modules())
    scan = str(next((phantoms / "imagesTr").glob("*.nii.gz")))
    data = parser.get_parsed_content("preprocessing")({"image": scan, "image_path": scan})
    assert data["image_path"] == scan


def test_monai_deploy_drops_loading_and_saving(tiny, phantoms):
    parser = opened(tiny, "inference")
    before, after = (parser.get_parsed_content(f"{p}processing") for p in ("pre", "post"))
    assert [type(t).__name__ for t in before.transforms].count("LoadImaged") == 1
    assert [type(t).__name__ for t in after.transforms].count("SaveImaged") == 1
    scan = next((phantoms / "imagesTr").glob("*.nii.gz"))
    data = before({"image": str(scan)})
    data["pred"] = parser.get_parsed_content("inferer")(
        data["image"][None], parser.get_parsed_content("network").eval()
    )[0].detach()
    pred = without(after, SaveImaged)(data)["pred"]
    assert pred.shape == (1, *nib.load(scan).shape)


@pytest.mark.parametrize("processes", ["one", "several"])
def test_training_starts_from_the_weights_in_pretrained(tiny, processes, monkeypatch):
    several = ["multi_gpu_train"] if processes == "several" else []
    parser = opened(tiny, "train", *several)
    path = tiny / "models" / "model.pt"
    parser["pretrained"], parser["device"] = str(path), torch.device("cpu")
    monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", lambda module, **_: module)
    torch.manual_seed(1)  # those in the file are of another seed
    network, weights = parser.get_parsed_content("network"), torch.load(path, weights_only=True)
    assert all(torch.equal(part, weights[name]) for name, part in network.state_dict().items())


def test_evaluation_reads_no_weights_to_start_from(tiny):
    parser = opened(tiny, "train", "evaluate")
    parser["pretrained"], parser["device"] = "gone.pt", torch.device("cpu")
    assert isinstance(parser.get_parsed_content("network"), torch.nn.Module)


def test_the_baseline_overlay_takes_the_gates_out(shipped):
    for names, gated in ((("train",), True), (("train", "baseline"), False)):
        net = opened(shipped, *names).get_parsed_content("network_def")
        assert any("gate" in name for name, _ in net.named_parameters()) == gated


@pytest.mark.parametrize(
    ("overlay", "estimator"), [("hard", "straight_through"), ("reinforce",) * 2]
)
def test_the_overlays_of_hard_gates_change_gates_and_loss_alone(shipped, overlay, estimator):
    merged = opened(shipped, "train", overlay)
    net, loss = (merged.get_parsed_content(name) for name in ("network_def", "loss"))
    assert {gate.estimator for gate in loss.gates} == {estimator}
    assert loss.gates == hard_gates(net)
    configs = shipped / "configs"
    plain, hard = (json.loads((configs / f"{n}.json").read_text()) for n in ("train", overlay))
    assert hard["loss"]["loss"] == plain["loss"]
    handlers = [part["_target_"] for part in merged["train"]["handlers"]]
    more = [part["_target_"] for part in hard.get("+train#handlers", [])]
    assert handlers == [part["_target_"] for part in plain["train"]["handlers"]] + more
    assert merged["checkpoint_parts"]["loss"] == "@loss"  # its baseline is saved too


def test_the_recipe_of_nnunet_changes_how_it_trains_and_not_what(shipped):
    merged, plain = opened(shipped, "train", "nnunet"), opened(shipped, "train")
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


def test_handlers_are_dicts_that_nothing_refers_to_by_their_place(shipped):
    for path in (shipped / "configs").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"handlers(#|::)\d|handlers\[", text), path.name
        lists = [*handler_lists(json.loads(text))]
        assert bool(lists) == (path.stem in ("train", "evaluate", "inference", "hard", "nnunet")), (
            path.name
        )
        assert all(isinstance(one, dict) for handlers in lists for one in handlers), path.name


def handler_lists(section):
    """Find each list of handlers in a config, whatever its id is."""
    for key, value in section.items():
        if key.endswith("handlers") and isinstance(value, list):
            yield value
        elif isinstance(value, dict):
            yield from handler_lists(value)


@pytest.mark.parametrize(("quiet", "count"), [(False, 3), (True, 2)])
def test_only_the_first_of_several_ranks_prints_the_evaluation(shipped, quiet, count):
    parser = opened(shipped, "train", "evaluate")
    parser["quiet"] = quiet
    names = [type(one).__name__ for one in parser.get_parsed_content("validate#handlers")]
    assert len(names) == count
    assert ("StatsHandler" in names) is not quiet
    overlay = json.loads((shipped / "configs" / "multi_gpu_evaluate.json").read_text())
    assert overlay["quiet"] == "$dist.get_rank() > 0"


def test_a_client_may_insert_a_handler_before_all_others(shipped):
    """MONAI Label puts a CheckpointLoader at place 0, after a look into each handler."""
    parser = opened(shipped, "train")
    handlers = parser["train"]["handlers"]
    assert not any("CheckpointLoader" in one.get("_target_", "") for one in handlers)
    loader = {"_target_": "CheckpointLoader", "load_path": "", "load_dict": {"model": "@network"}}
    parser["train"]["handlers"] = [loader, *handlers]
    parser["train#handlers#0#load_path"] = str(shipped / "models" / "model.pt")
    parser["split"] = {"training": [{"image": "a", "label": "a"}] * 4, "validation": [{}]}
    parser.parse(True)
    made = parser.get_parsed_content("train#handlers")
    history = parser.get_parsed_content("history")
    shared = [one.handler for one in made if isinstance(one, SharedHandler)]
    assert history in shared
    assert parser.get_parsed_content("gate_watch") in shared
    assert parser.get_parsed_content("validation_pictures") in shared
    (checkpoints,) = [one for one in made if isinstance(one, Checkpoints)]
    assert checkpoints.parts["history"] is history


@pytest.mark.slow
@pytest.mark.parametrize("run_id", ["run", ""])
def test_a_client_that_gives_its_cases_needs_no_data_folder(tiny, phantoms, tmp_path, run_id):
    """MONAI Label's viewers offer an empty run_id, which evaluates the whole config."""
    root = tmp_path / "bundle"
    shutil.copytree(tiny, root)
    cases = find_cases(phantoms)
    monai.bundle.run(
        run_id=run_id,
        meta_file=str(root / "configs" / "metadata.json"),
        config_file=str(root / "configs" / "train.json"),
        bundle_root=str(root),
        device="$torch.device('cpu')",
        **{
            "epochs": 1,
            "train#dataset#data": cases[:3],
            "validate#dataset#data": cases[3:],
        },
    )
    assert torch.load(root / "training" / "last.pt", weights_only=False)["epoch"] == 1


@pytest.mark.parametrize("ignore", [None, 9])
@pytest.mark.parametrize("overlay", [(), ("evaluate",), ("hard",), ("reinforce",), ("locator",)])
def test_an_ignore_value_reaches_all_that_counts_voxels(shipped, overlay, ignore):
    if overlay == ("locator",) and not (shipped / "configs" / "locator.json").is_file():
        pytest.skip("the 2D bundle has no locator")
    parser = opened(shipped, "train", *overlay)
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
def test_every_way_cleans_labels_as_the_command_line(tiny, phantoms, tmp_path, names):
    tiny = shutil.copytree(tiny, tmp_path / "bundle")
    balance(tiny, foreground=0.2)
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    opening = open_bundle(tiny, "cpu", backend="eager", precision="float32")
    expected = opening.segmenter()(scan)
    assert expected.pieces[1].in_all > 1, "there is something to clean"
    parser = opened(tiny, *names)
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
def test_a_value_that_is_no_class_is_refused(tiny, tmp_path, name):
    root = tmp_path / "bundle"
    shutil.copytree(tiny, root)
    path = root / "configs" / "inference.json"
    value = {"2": {}} if name == "expected" else [2]
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(ValueError, match=name) as refused:
        open_bundle(root, "cpu")
    assert str(root) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_inference_runs_with_monais_own_inferer(tiny, phantoms):
    """In the place of ours it gives the body the same labels; windows of air are what it runs more."""
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    labels = []
    for theirs in (False, True):
        parser = opened(tiny, "inference")
        torch.manual_seed(0)  # the same weights
        if theirs:
            parser["inferer"] = {
                **MONAIS[len(parser["roi_size"])],
                "roi_size": "@roi_size",
                "overlap": 0.5,
                "mode": "gaussian",
            }
        data = parser.get_parsed_content("preprocessing")({"image": str(scan)})
        network = parser.get_parsed_content("network").eval()
        with torch.inference_mode():
            data["pred"] = parser.get_parsed_content("inferer")(data["image"][None], network)[0]
        steps = without(parser.get_parsed_content("postprocessing"), SaveImaged)
        labels.append(steps(data)["pred"])
    body = torch.from_numpy(nib.load(scan).get_fdata() > -150)[None]
    assert body.any()
    assert torch.equal(*[found[body] for found in labels])


# --- run, from the bundle's folder and from elsewhere


@pytest.fixture(scope="module")
def trained(tiny, phantoms, tmp_path_factory):
    """The tiny bundle after one epoch, run from its own folder."""
    root = tmp_path_factory.mktemp("trained") / "bundle"
    shutil.copytree(tiny, root)
    (root / "models" / "model.pt").unlink()
    done = bundle_run(
        *("--config_file", "configs/train.json", "--dataset_dir", phantoms),
        *("--epochs", 1, "--val_interval", 1),
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    return root


def test_training_writes_a_checkpoint_and_reports_the_key_metric(trained):
    weights = torch.load(trained / "models" / "model.pt", weights_only=True)
    assert "decoder.0.gate.psi.weight" in weights


def test_inference_from_elsewhere_gives_the_labels_of_the_command_line(trained, phantoms, tmp_path):
    configs, scans = trained / "configs", sorted((phantoms / "imagesTr").glob("*.nii.gz"))
    done = bundle_run(
        *("--config_file", configs / "inference.json", "--bundle_root", trained),
        *("--dataset_dir", phantoms / "imagesTr", "--output_dir", tmp_path / "out"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    written = sorted((tmp_path / "out").iterdir())
    assert [p.name for p in written] == [s.name.replace(".nii.gz", "_seg.nii.gz") for s in scans]
    segmenter = open_bundle(trained, "cpu", backend="eager", precision="float32").segmenter()
    for labels, scan in zip(written, scans, strict=True):
        assert_on_the_grid_of(labels, scan)
        np.testing.assert_array_equal(nib.load(labels).dataobj, segmenter(scan).labels)


def test_the_attention_overlay_writes_what_segment_writes(trained, phantoms, tmp_path):
    """Byte for byte, labels and maps: also on an oblique scan, which is last."""
    done = bundle_run(
        *("--config_file", "['configs/inference.json','configs/attention.json']"),
        *("--dataset_dir", phantoms / "imagesTr", "--output_dir", tmp_path / "out"),
        cwd=trained,
    )
    assert done.returncode == 0, done.stderr
    opened = open_bundle(trained, "cpu", backend="eager", precision="float32")
    segmenter = opened.segmenter(attention=True)
    scans = [Path(scan) for scan in find_images(phantoms / "imagesTr")]
    targets = output_paths(scans, tmp_path / "expected")
    assert [result.error for result in segment_files(segmenter, targets)] == [""] * 4
    expected = sorted((tmp_path / "expected").glob("*.nii.gz"))
    assert len(expected) == 4 * 2, "labels, and the map of the one gate"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [p.name for p in expected]
    for path in expected:
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("gate", ["soft", None])
def test_the_attention_overlay_gives_the_maps_of_the_gates_there_are(tiny, gate):
    parser = opened(tiny, "inference", "attention")
    parser["network_def#gate"], parser["device"] = gate, "cpu"
    outputs = parser.get_parsed_content("network").eval()(window(tiny))
    steps = parser.get_parsed_content("postprocessing").transforms
    saved = [step for step in steps if isinstance(step, SaveImaged)]
    assert len(outputs) == len(saved) == (2 if gate else 1)


def test_evaluation_scores_on_the_scans_own_grid(trained, phantoms, tmp_path):
    done = bundle_run(
        *("--config_file", "['configs/train.json','configs/evaluate.json']"),
        *("--dataset_dir", phantoms, "--output_dir", tmp_path),
        cwd=trained,
    )
    assert done.returncode == 0, done.stderr
    heading, *rows = (tmp_path / "val_mean_dice_raw.csv").read_text().splitlines()
    expected = evaluate_files(tmp_path, phantoms / "labelsTr")
    assert len(rows) == len(expected) == 4
    for row, score in zip(rows, expected, strict=True):
        assert score.case in row
        assert float(row.split(",")[-1 if "mean" not in heading else 1]) == pytest.approx(
            score.dice, abs=1e-4
        )
    scans = sorted((phantoms / "imagesTr").glob("*.nii.gz"))
    for scan in scans:
        assert_on_the_grid_of(tmp_path / scan.name.replace(".nii.gz", "_seg.nii.gz"), scan)


@pytest.mark.slow
@pytest.mark.parametrize("validation", [0.5, 0.1], ids=["a case for each rank", "one case"])
def test_two_ranks_train_and_evaluate(tiny, phantoms, tmp_path, validation):
    root = tmp_path / "bundle"
    shutil.copytree(tiny, root)
    (root / "models" / "model.pt").unlink()
    done = bundle_run(
        *("--config_file", "['configs/train.json','configs/multi_gpu_train.json']"),
        *("--dataset_dir", phantoms, "--epochs", 1, "--val_interval", 1, "--batch_size", 2),
        *("--split#validation", validation),
        cwd=root,
        ranks=2,
    )
    assert done.returncode == 0, done.stderr
    assert (root / "models" / "model.pt").is_file()
    done = bundle_run(
        "--config_file",
        "['configs/train.json','configs/evaluate.json','configs/multi_gpu_evaluate.json']",
        *("--dataset_dir", phantoms, "--output_dir", tmp_path / "out"),
        cwd=root,
        ranks=2,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*_seg.nii.gz"))) == 4
    rows = (tmp_path / "out" / "val_mean_dice_raw.csv").read_text().splitlines()
    assert len(rows) == 1 + 4


@pytest.mark.slow
def test_more_ranks_than_cases_cannot_evaluate(tiny, phantoms, tmp_path):
    """They say so, and do not wait for each other."""
    data = tmp_path / "data"
    for folder in ("imagesTr", "labelsTr"):
        (data / folder).mkdir(parents=True)
        scan = sorted((phantoms / folder).iterdir())[0]
        shutil.copy(scan, data / folder)
    done = bundle_run(
        "--config_file",
        "['configs/train.json','configs/evaluate.json','configs/multi_gpu_evaluate.json']",
        *("--dataset_dir", data, "--output_dir", tmp_path / "out"),
        cwd=tiny,
        ranks=2,
    )
    assert done.returncode
    assert "cases (=1) must be as many as the 2 processes or more. Start 1 with" in done.stderr
