"""The folder of a training is a bundle of its own from the beginning."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest
import torch

from monai_attn.datasets.label_classes import LabelClasses
from monai_attn.datasets.listed_splits import read_split
from monai_attn.inference.result_checks import Expected, read_expected
from monai_attn.training.pretrained import fit_weights, open_initial_weights
from monai_attn.training.resume import describe_weights, resume_run
from monai_attn.training.run_description import record_scores
from monai_attn.training.run_folder import create_run
from tests.training.training_runs import record_and_config


def configs(run):
    return [
        json.loads((run / "configs" / f"{name}.json").read_text())
        for name in ("train", "inference")
    ]


def test_settings_reach_training_and_inference(tmp_path, split_of_empty_files, run_request):
    run = tmp_path / "run"
    create_run(run, run_request, split_of_empty_files, None)
    for config in configs(run):
        assert config["network_def"]["gate"] is None
        assert config["spacing"] == [3, 3, 3]
    train, inference = configs(run)
    assert train["epochs"] == train["val_interval"] == 2
    assert train["dataset_dir"] == "/data/set"
    assert inference["locator"] is None
    assert not inference["displayable_configs"]["focus"]
    assert read_split(run / "split.json") == split_of_empty_files


def test_the_run_is_a_bundle_and_does_not_claim_what_its_template_does(
    tmp_path, split_of_empty_files, run_request
):
    run = tmp_path / "run"
    create_run(run, run_request, split_of_empty_files, None)
    for name in ("LICENSE", "configs/metadata.json", "configs/logging.conf", "docs/README.md"):
        assert (run / name).stat().st_size > 0
    text = (run / "configs" / "metadata.json").read_text() + (
        run / "docs" / "README.md"
    ).read_text()
    assert "phantom" not in text
    assert "calibration" not in text
    assert "Trained on 2 cases of set and chosen on 1" in text


def test_classes_are_in_the_configs_and_the_metadata(tmp_path, split_of_empty_files, run_request):
    run = tmp_path / "run"
    classes = LabelClasses(("background", "spleen", "liver"), {0: 0, 1: 1, 5: 2, 7: 0})
    create_run(run, run_request, split_of_empty_files, classes)
    for config in configs(run):
        assert config["num_classes"] == 3
    assert configs(run)[0]["label_map"] == {"0": 0, "1": 1, "5": 2, "7": 0}
    pred = json.loads((run / "configs" / "metadata.json").read_text())["network_data_format"]
    assert pred["outputs"]["pred"]["channel_def"] == {
        "0": "background",
        "1": "spleen",
        "2": "liver",
    }
    assert pred["outputs"]["pred"]["num_channels"] == 3


EXPECTED = {
    1: Expected((30.0, 300.0), ((5.0, 15.0),) * 3, 1),
    2: Expected((0.0, 9.0), ((1.0, 2.0),) * 3, 2, inside=False),
}
CLASSES = LabelClasses(("background", "spleen", "kidneys"), {0: 0, 5: 1, 7: 2})


def cleaning(run):
    """The steps of a bundle's inference and evaluation after the network."""
    names = ("inference", "evaluate")
    read = [json.loads((run / "configs" / f"{name}.json").read_text()) for name in names]
    ids = ("keep_largest", "keep_pieces_from", "fill_holes")
    return [tuple(config[name] for name in ids) for config in read]


def test_what_the_cases_hold_is_expected_of_the_labels(tmp_path, split_of_empty_files, run_request):
    run = tmp_path / "run"
    create_run(run, run_request, split_of_empty_files, CLASSES, expected=EXPECTED)
    assert read_expected(configs(run)[1]["expected"], 3) == EXPECTED
    assert cleaning(run) == [([1], 0.3, [])] * 2, "kidneys are two pieces; are they hollow?"


def test_the_holes_of_the_templates_classes_are_filled_as_there(
    tmp_path, split_of_empty_files, run_request
):
    create_run(tmp_path / "run", run_request, split_of_empty_files, None, expected={1: EXPECTED[1]})
    assert cleaning(tmp_path / "run") == [([1], 0.3, [1])] * 2


def test_settings_win_over_what_the_cases_hold(tmp_path, split_of_empty_files, run_request):
    settings = {"keep_largest": [], "keep_pieces_from": 0.5, "fill_holes": [1], "expected": {}}
    run = tmp_path / "run"
    create_run(
        run,
        replace(run_request, settings=settings),
        split_of_empty_files,
        CLASSES,
        expected=EXPECTED,
    )
    assert cleaning(run) == [([], 0.5, [1])] * 2
    assert configs(run)[1]["expected"] == {}


@pytest.mark.parametrize("there", ["a file in it", "a file"])
def test_what_is_there_is_not_touched(tmp_path, split_of_empty_files, run_request, there):
    run = tmp_path / "run"
    mine = run / "mine" if there == "a file in it" else run
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(ValueError, match=r"run: is not empty\. Resume"):
        create_run(run, run_request, split_of_empty_files, None)
    assert mine.read_text() == "mine"


def test_a_setting_that_fits_nowhere_leaves_no_folder(tmp_path, split_of_empty_files, run_request):
    with pytest.raises(ValueError, match="epoch: the bundle's configs have no such id"):
        create_run(
            tmp_path / "run",
            replace(run_request, settings={"epoch": 1}),
            split_of_empty_files,
            None,
        )
    assert not (tmp_path / "run").exists()


def test_scores_are_in_the_metadata(tmp_path, split_of_empty_files, run_request):
    run = tmp_path / "run"
    create_run(run, run_request, split_of_empty_files, None)
    record_scores(run, {"mean_dice_of_pancreas": 0.5})
    metadata = json.loads((run / "configs" / "metadata.json").read_text())
    assert metadata["eval_metrics"] == {"mean_dice_of_pancreas": 0.5}
    assert metadata["version"]


def test_an_overlay_of_the_bundle_is_part_of_the_run(tmp_path, split_of_empty_files, run_request):
    run = tmp_path / "run"
    request = replace(run_request, settings={"network_def#gate#1#budget": 0.3}, overlay="hard")
    create_run(run, request, split_of_empty_files, None)
    train, inference = configs(run)
    gate = ["hard", {"estimator": "straight_through", "budget": 0.3}]
    assert train["network_def"]["gate"] == inference["network_def"]["gate"] == gate
    assert train["loss"]["_target_"].endswith("HardAttentionLoss")
    assert train["train"]["handlers"][-1]["_target_"].endswith("AnnealTemperature")
    assert not any("+" in key or "#" in key for key in train)
    assert "loss" not in inference
    assert not (run / "configs" / "hard.json").exists()
    with pytest.raises(ValueError, match=r"another overlay .*got \"reinforce\", expected \"hard\""):
        resume_run(run, replace(request, overlay="reinforce"))


def test_a_recipe_is_laid_over_too_and_settings_win(tmp_path, split_of_empty_files, run_request):
    run = tmp_path / "run"
    request = replace(
        run_request, overlay="hard", recipe="nnunet", settings={"learning_rate": 0.02}
    )
    create_run(run, request, split_of_empty_files, None)
    train, _ = configs(run)
    assert train["optimizer"]["_target_"] == "torch.optim.SGD"
    assert train["learning_rate"] == 0.02
    assert train["train"]["preprocessing"]["foreground_share"] == 0.33
    names = [handler["_target_"].split(".")[-1] for handler in train["train"]["handlers"]]
    assert names[-2:] == ["AnnealTemperature", "GradientLimit"]
    assert not (run / "configs" / "nnunet.json").exists()
    with pytest.raises(ValueError, match="another recipe"):
        resume_run(run, replace(request, recipe=""))


def test_an_overlay_that_the_bundle_lacks_is_named(tmp_path, split_of_empty_files, run_request):
    with pytest.raises(ValueError, match=r"soft\.json: the bundle has no such overlay"):
        create_run(
            tmp_path / "run", replace(run_request, overlay="soft"), split_of_empty_files, None
        )


# --- weights from elsewhere


@pytest.fixture
def weights(tiny_bundle):
    start = open_initial_weights(str(tiny_bundle))
    return start, fit_weights(torch.nn.Module(), start.state)


def test_the_weights_it_starts_from_are_in_the_folder(
    tmp_path, split_of_empty_files, run_request, weights
):
    run = tmp_path / "run"
    request = replace(run_request, pretrained=run_request.bundle)
    create_run(run, request, split_of_empty_files, None, weights=weights)
    original = weights[0].file.read_bytes()
    assert (run / "training" / "pretrained.pt").read_bytes() == original
    record, train = record_and_config(run)
    digest = sha256(original).hexdigest()
    metadata = json.loads((run / "configs" / "metadata.json").read_text())
    assert record["weights"]["sha256"] == metadata["pretrained"]["sha256"] == digest
    assert digest in (run / "docs" / "README.md").read_text()
    assert train["pretrained"] == "$@bundle_root + '/training/pretrained.pt'"
    assert describe_weights(run).startswith(f"0 of 0 tensors from {request.bundle} (models/")
    assert resume_run(run, request)["weights"] == describe_weights(run)


def test_the_next_training_does_not_start_from_them(
    tmp_path, split_of_empty_files, run_request, weights
):
    first, second = tmp_path / "first", tmp_path / "second"
    create_run(
        first,
        replace(run_request, pretrained=run_request.bundle),
        split_of_empty_files,
        None,
        weights=weights,
    )
    create_run(second, replace(run_request, bundle=str(first)), split_of_empty_files, None)
    assert record_and_config(second)[1]["pretrained"] is None
    assert "pretrained" not in json.loads((second / "configs" / "metadata.json").read_text())
    assert describe_weights(second) == "from scratch (random, seed 0)", "first has no weights yet"


def test_weights_that_change_while_they_are_copied_are_refused(
    tmp_path, split_of_empty_files, run_request, weights
):
    start = replace(weights[0], sha256="0" * 64)
    with pytest.raises(ValueError, match=r"model\.pt: changed while it was read"):
        create_run(
            tmp_path / "run", run_request, split_of_empty_files, None, weights=(start, weights[1])
        )
    assert not (tmp_path / "run" / "run.json").exists()
