"""The bundles as other programs use them: MONAI Label, Deploy, federations, exports."""

import json
import re
import shutil

import monai.bundle
import nibabel as nib
import pytest
import torch
from monai.bundle import ckpt_export, onnx_export, verify_net_in_out
from monai.transforms import SaveImaged

from bundle_runs import opened, random_window
from monai_attn.datasets.cases import find_cases
from monai_attn.training.checkpoints import Checkpoints
from monai_attn.training.shared_handler import SharedHandler
from monai_attn.transforms.pipelines import without

MONAIS = {  # inferers, by the dimensions of a window
    3: {"_target_": "SlidingWindowInferer"},
    2: {"_target_": "SliceInferer", "spatial_dim": 2},
}

# MONAI warns that a config is code each time one is opened
pytestmark = pytest.mark.filterwarnings(
    "ignore:parsing config_file:UserWarning", "ignore:executing the bundle config:UserWarning"
)


def test_a_federated_client_trains_and_evaluates(each_tiny_bundle, phantoms, tmp_path):
    """NVFlare's MonaiAlgo, which opens the configs before it knows where the bundle lies."""
    from monai.fl.client import MonaiAlgo
    from monai.fl.utils.constants import ExtraItems
    from monai.fl.utils.exchange_object import ExchangeObject

    root = tmp_path / "bundle"
    shutil.copytree(each_tiny_bundle, root)
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


def configs_of(root):
    """Arguments of MONAI's commands for the network of a bundle."""
    configs = root / "configs"
    return {
        "net_id": "network_def",
        "meta_file": str(configs / "metadata.json"),
        "config_file": str(configs / "inference.json"),
    }


def test_net_in_and_out_verify(each_tiny_bundle):
    verify_net_in_out(
        **configs_of(each_tiny_bundle),
        device="cpu",
    )


def test_ckpt_export_makes_a_torchscript_of_the_same_network(each_tiny_bundle, tmp_path):
    ckpt_export(
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(each_tiny_bundle / "models" / "model.pt"),
        **configs_of(each_tiny_bundle),
    )
    assert_same_network(torch.jit.load(str(tmp_path / "model.ts")), each_tiny_bundle)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # the exporter's
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_onnx_export_makes_the_same_network_for_any_size(each_tiny_bundle, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    x = random_window(each_tiny_bundle)
    free = {axis: f"axis_{axis}" for axis in range(x.ndim) if axis != 1}
    onnx_export(
        filepath=str(tmp_path / "model.onnx"),
        ckpt_file=str(each_tiny_bundle / "models" / "model.pt"),
        **configs_of(each_tiny_bundle),
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
        assert_same_network(exported, each_tiny_bundle, torch.rand(batch, channels, *size))


def assert_same_network(exported, root, x=None):
    net = opened(root, "inference").get_parsed_content("network_def").eval()
    net.load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True))
    x = random_window(root) if x is None else x
    torch.testing.assert_close(exported(x), net(x), atol=1e-4, rtol=0)


def test_monai_label_may_set_the_device_dropout_and_an_image_path(each_tiny_bundle, phantoms):
    parser = opened(each_tiny_bundle, "inference")
    parser["device"], parser["network_def#dropout"] = "cpu", 0.2
    network = parser.get_parsed_content("network").eval()
    assert any(isinstance(m, torch.nn.Dropout) and m.p == 0.2 for m in network.modules())
    scan = str(next((phantoms / "imagesTr").glob("*.nii.gz")))
    data = parser.get_parsed_content("preprocessing")({"image": scan, "image_path": scan})
    assert data["image_path"] == scan


def test_monai_deploy_drops_loading_and_saving(each_tiny_bundle, phantoms):
    parser = opened(each_tiny_bundle, "inference")
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


def test_handlers_are_dicts_that_nothing_refers_to_by_their_place(each_shipped_bundle):
    for path in (each_shipped_bundle / "configs").glob("*.json"):
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


def test_a_client_may_insert_a_handler_before_all_others(each_shipped_bundle):
    """MONAI Label puts a CheckpointLoader at place 0, after a look into each handler."""
    parser = opened(each_shipped_bundle, "train")
    handlers = parser["train"]["handlers"]
    assert not any("CheckpointLoader" in one.get("_target_", "") for one in handlers)
    loader = {"_target_": "CheckpointLoader", "load_path": "", "load_dict": {"model": "@network"}}
    parser["train"]["handlers"] = [loader, *handlers]
    parser["train#handlers#0#load_path"] = str(each_shipped_bundle / "models" / "model.pt")
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
def test_a_client_that_gives_its_cases_needs_no_data_folder(
    each_tiny_bundle, phantoms, tmp_path, run_id
):
    """MONAI Label's viewers offer an empty run_id, which evaluates the whole config."""
    root = tmp_path / "bundle"
    shutil.copytree(each_tiny_bundle, root)
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


def test_inference_runs_with_monais_own_inferer(each_tiny_bundle, phantoms):
    """In the place of ours it gives the body the same labels; windows of air are what it runs more."""
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    labels = []
    for theirs in (False, True):
        parser = opened(each_tiny_bundle, "inference")
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
