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
from monai_attn.training.request import Request
from monai_attn.training.resume import describe_weights, resume_run
from monai_attn.training.run_description import record_scores
from monai_attn.training.run_folder import create_run


@pytest.fixture
def split(tmp_path):
    cases = []
    for name in ("a", "b", "c"):
        for kind in ("image", "label"):
            (tmp_path / f"{name}_{kind}.nii.gz").touch()
        cases.append({kind: str(tmp_path / f"{name}_{kind}.nii.gz") for kind in ("image", "label")})
    return {"training": cases[:2], "validation": cases[2:]}


@pytest.fixture
def request_(tiny_bundle):
    settings = {"network_def#gate": None, "spacing": [3, 3, 3], "epochs": 2}
    return Request(str(tiny_bundle), "/data/set", settings=settings)


def configs(run):
    return [
        json.loads((run / "configs" / f"{name}.json").read_text())
        for name in ("train", "inference")
    ]


def test_settings_reach_training_and_inference(tmp_path, split, request_):
    run = tmp_path / "run"
    create_run(run, request_, split, None)
    for config in configs(run):
        assert config["network_def"]["gate"] is None
        assert config["spacing"] == [3, 3, 3]
    train, inference = configs(run)
    assert train["epochs"] == train["val_interval"] == 2
    assert train["dataset_dir"] == "/data/set"
    assert inference["locator"] is None
    assert not inference["displayable_configs"]["focus"]
    assert read_split(run / "split.json") == split


def test_the_run_is_a_bundle_and_does_not_claim_what_its_template_does(tmp_path, split, request_):
    run = tmp_path / "run"
    create_run(run, request_, split, None)
    for name in ("LICENSE", "configs/metadata.json", "configs/logging.conf", "docs/README.md"):
        assert (run / name).stat().st_size > 0
    text = (run / "configs" / "metadata.json").read_text() + (
        run / "docs" / "README.md"
    ).read_text()
    assert "phantom" not in text
    assert "calibration" not in text
    assert "Trained on 2 cases of set and chosen on 1" in text


def test_classes_are_in_the_configs_and_the_metadata(tmp_path, split, request_):
    run = tmp_path / "run"
    classes = LabelClasses(("background", "spleen", "liver"), {0: 0, 1: 1, 5: 2, 7: 0})
    create_run(run, request_, split, classes)
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


def test_what_the_cases_hold_is_expected_of_the_labels(tmp_path, split, request_):
    run = tmp_path / "run"
    create_run(run, request_, split, CLASSES, expected=EXPECTED)
    assert read_expected(configs(run)[1]["expected"], 3) == EXPECTED
    assert cleaning(run) == [([1], 1.0, [])] * 2, "kidneys are two pieces; are they hollow?"


def test_the_holes_of_the_templates_classes_are_filled_as_there(tmp_path, split, request_):
    create_run(tmp_path / "run", request_, split, None, expected={1: EXPECTED[1]})
    assert cleaning(tmp_path / "run") == [([1], 0.3, [1])] * 2


def test_settings_win_over_what_the_cases_hold(tmp_path, split, request_):
    settings = {"keep_largest": [], "keep_pieces_from": 0.5, "fill_holes": [1], "expected": {}}
    run = tmp_path / "run"
    create_run(run, replace(request_, settings=settings), split, CLASSES, expected=EXPECTED)
    assert cleaning(run) == [([], 0.5, [1])] * 2
    assert configs(run)[1]["expected"] == {}


@pytest.mark.parametrize("there", ["a file in it", "a file"])
def test_what_is_there_is_not_touched(tmp_path, split, request_, there):
    run = tmp_path / "run"
    mine = run / "mine" if there == "a file in it" else run
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(ValueError, match=r"run: is not empty\. Resume"):
        create_run(run, request_, split, None)
    assert mine.read_text() == "mine"


def test_a_setting_that_fits_nowhere_leaves_no_folder(tmp_path, split, request_):
    with pytest.raises(ValueError, match="epoch: the bundle's configs have no such id"):
        create_run(tmp_path / "run", replace(request_, settings={"epoch": 1}), split, None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "/data/other"}, 'data than .got "/data/other", expected "/data/set"'),
        ({"labels": ("7=pancreas",)}, r'labels than .got \["7=pancreas"\], expected \[\]'),
        ({"fold": 1}, "fold than .got 1, expected null"),
        ({"folds": 3}, "folds than .got 3, expected 5"),
        ({"group": "(.+)"}, r'group than .got "\(\.\+\)", expected null'),
        ({"pretrained": "runs/b"}, 'pretrained than .got "runs/b", expected null'),
        (
            {"settings": {"network_def#gate": None, "spacing": [3, 3, 3]}},
            "epochs than .got the default, expected 2",
        ),
        (
            {"settings": {"network_def#gate": None, "epochs": 2}},
            r"spacing than .got the default, expected \[3, 3, 3\]",
        ),
    ],
)
def test_a_training_goes_on_as_it_was_begun(tmp_path, split, request_, change, said):
    run = tmp_path / "run"
    create_run(run, request_, split, None)
    resume_run(run, request_)
    with pytest.raises(
        ValueError, match=f"run: another {said.replace(' than ', ' than at its start ')}"
    ):
        resume_run(run, replace(request_, **change))


def test_a_training_begun_before_there_were_groups_goes_on(tmp_path, split, request_):
    create_run(tmp_path / "run", request_, split, None)
    begun = json.loads((tmp_path / "run" / "run.json").read_text())
    del begun["group"]
    (tmp_path / "run" / "run.json").write_text(json.dumps({**begun, "folds": 5}))
    resume_run(tmp_path / "run", request_)


@pytest.mark.parametrize("content", [None, "", "[]", "{}"])
def test_what_is_no_training_cannot_go_on(tmp_path, request_, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"no training to resume .*run\.json"):
        resume_run(tmp_path, request_)


def test_scores_are_in_the_metadata(tmp_path, split, request_):
    run = tmp_path / "run"
    create_run(run, request_, split, None)
    record_scores(run, {"mean_dice_of_pancreas": 0.5})
    metadata = json.loads((run / "configs" / "metadata.json").read_text())
    assert metadata["eval_metrics"] == {"mean_dice_of_pancreas": 0.5}
    assert metadata["version"]


def test_an_overlay_of_the_bundle_is_part_of_the_run(tmp_path, split, request_):
    run = tmp_path / "run"
    request = replace(request_, settings={"network_def#gate#1#budget": 0.3}, overlay="hard")
    create_run(run, request, split, None)
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


def test_a_recipe_is_laid_over_too_and_settings_win(tmp_path, split, request_):
    run = tmp_path / "run"
    request = replace(request_, overlay="hard", recipe="nnunet", settings={"learning_rate": 0.02})
    create_run(run, request, split, None)
    train, _ = configs(run)
    assert train["optimizer"]["_target_"] == "torch.optim.SGD"
    assert train["learning_rate"] == 0.02
    assert train["train"]["preprocessing"]["foreground_share"] == 0.33
    names = [handler["_target_"].split(".")[-1] for handler in train["train"]["handlers"]]
    assert names[-2:] == ["AnnealTemperature", "GradientLimit"]
    assert not (run / "configs" / "nnunet.json").exists()
    with pytest.raises(ValueError, match="another recipe"):
        resume_run(run, replace(request, recipe=""))


def test_a_run_of_an_earlier_version_had_no_recipe(tmp_path, split, request_):
    run = tmp_path / "run"
    create_run(run, request_, split, None)
    record = json.loads((run / "run.json").read_text())
    del record["recipe"]
    (run / "run.json").write_text(json.dumps(record))
    resume_run(run, request_)


def test_an_overlay_that_the_bundle_lacks_is_named(tmp_path, split, request_):
    with pytest.raises(ValueError, match=r"soft\.json: the bundle has no such overlay"):
        create_run(tmp_path / "run", replace(request_, overlay="soft"), split, None)


# --- more epochs


def longer(request, epochs):
    return replace(request, settings={**request.settings, "epochs": epochs})


def checkpoint(run, epoch, **early_stop):
    """What `resume_run` looks at of a state."""
    (run / "training").mkdir(exist_ok=True)
    state = {"epoch": epoch, "parts": {"early_stop": {"counter": 0, **early_stop}}}
    torch.save(state, run / "training" / "last.pt")


def values(run):
    return [json.loads((run / name).read_text()) for name in ("run.json", "configs/train.json")]


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_training_may_be_given_more_epochs(tmp_path, split, request_, done):
    run = tmp_path / "run"
    create_run(run, request_, split, None)
    if done:
        checkpoint(run, done)
    said = resume_run(run, longer(request_, 9))["epochs"]
    assert said.startswith(f"9 instead of 2, of which {done} are done; from epoch {done + 1} on ")
    assert "cosine over all 9" in said
    record, train = values(run)
    assert train["epochs"] == record["settings"]["epochs"] == 9
    assert record["extended"] == [{"after": done, "epochs": 9}]
    assert f"After epoch {done} it was given 9" in (run / "docs" / "README.md").read_text()
    assert "epochs" not in resume_run(run, longer(request_, 9)), "by now they are those it has"
    assert values(run) == [record, train]


@pytest.mark.parametrize(("epochs", "said"), [(1, "2 epochs are done"), ("many", "whole number")])
def test_epochs_that_are_done_stay_and_nothing_is_changed(tmp_path, split, request_, epochs, said):
    run = tmp_path / "run"
    create_run(run, request_, split, None)
    checkpoint(run, 2)
    before = values(run)
    with pytest.raises(ValueError, match=said):
        resume_run(run, longer(request_, epochs))
    assert values(run) == before


def test_a_cosine_of_monai_becomes_ours_which_can_be_made_longer(tmp_path, split, request_):
    run = tmp_path / "run"
    create_run(run, request_, split, None)
    path = run / "configs" / "train.json"
    train = json.loads(path.read_text())
    schedule = train["lr_scheduler"]
    path.write_text(
        json.dumps({**train, "lr_scheduler": {**schedule, "_target_": "WarmupCosineSchedule"}})
    )
    resume_run(run, longer(request_, 9))
    assert values(run)[1]["lr_scheduler"] == schedule


def test_an_early_end_is_said(tmp_path, split, request_):
    run = tmp_path / "run"
    create_run(run, request_, split, None)
    assert "from scratch" in resume_run(run, request_)["weights"]
    checkpoint(run, 2, counter=1, epochs=2)
    assert resume_run(run, request_)["weights"].endswith("after epoch 2 of 2")
    checkpoint(run, 2, counter=30)
    assert resume_run(run, request_)["weights"].endswith("where early stopping ended it")
    with pytest.raises(ValueError, match=r"run: ended early in an earlier version"):
        resume_run(run, longer(request_, 9))
    checkpoint(run, 2, counter=30, epochs=2)
    assert "counts from 0" in resume_run(run, longer(request_, 9))["epochs"]


# --- weights from elsewhere


@pytest.fixture
def weights(tiny_bundle):
    start = open_initial_weights(str(tiny_bundle))
    return start, fit_weights(torch.nn.Module(), start.state)


def test_the_weights_it_starts_from_are_in_the_folder(tmp_path, split, request_, weights):
    run = tmp_path / "run"
    request = replace(request_, pretrained=request_.bundle)
    create_run(run, request, split, None, weights=weights)
    original = weights[0].file.read_bytes()
    assert (run / "training" / "pretrained.pt").read_bytes() == original
    record, train = values(run)
    digest = sha256(original).hexdigest()
    metadata = json.loads((run / "configs" / "metadata.json").read_text())
    assert record["weights"]["sha256"] == metadata["pretrained"]["sha256"] == digest
    assert digest in (run / "docs" / "README.md").read_text()
    assert train["pretrained"] == "$@bundle_root + '/training/pretrained.pt'"
    assert describe_weights(run).startswith(f"0 of 0 tensors from {request.bundle} (models/")
    assert resume_run(run, request)["weights"] == describe_weights(run)


def test_the_next_training_does_not_start_from_them(tmp_path, split, request_, weights):
    first, second = tmp_path / "first", tmp_path / "second"
    create_run(first, replace(request_, pretrained=request_.bundle), split, None, weights=weights)
    create_run(second, replace(request_, bundle=str(first)), split, None)
    assert values(second)[1]["pretrained"] is None
    assert "pretrained" not in json.loads((second / "configs" / "metadata.json").read_text())
    assert describe_weights(second) == "from scratch (random, seed 0)", "first has no weights yet"


def test_weights_that_change_while_they_are_copied_are_refused(tmp_path, split, request_, weights):
    start = replace(weights[0], sha256="0" * 64)
    with pytest.raises(ValueError, match=r"model\.pt: changed while it was read"):
        create_run(tmp_path / "run", request_, split, None, weights=(start, weights[1]))
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_training_of_an_earlier_version_goes_on(tmp_path, split, request_):
    run = tmp_path / "run"
    create_run(run, request_, split, None)
    record = values(run)[0]
    for name in ("pretrained", "weights"):
        del record[name]
    (run / "run.json").write_text(json.dumps(record))
    assert resume_run(run, request_)["weights"].startswith("from scratch")
