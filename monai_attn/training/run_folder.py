"""Folder of a training: a bundle of its own from the start, with a record of how it was made.

| path | what |
|---|---|
| `configs/` | those of the bundle it was made from, with this run's values |
| `models/model.pt` | the best weights |
| `split.json` | the cases that train, and those that validate |
| `run.json` | what was asked for: data, options, values; the weights it started from |
| `training/` | `last.pt`; `progress.csv`, `attention.csv` and their curves; events for TensorBoard |
| `training/pretrained.pt` | a copy of the weights it started from, if any |
| `eval/` | labels and scores of the validation cases, in the end |
"""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from monai_attn.bundle.find import find_bundle
from monai_attn.datasets.label_classes import LabelClasses
from monai_attn.datasets.splits import FOLDS, Split, write_split
from monai_attn.inference.result_checks import Expected
from monai_attn.io.files import atomic_write, make_writable, sha256_of
from monai_attn.training.checkpoints import read_state
from monai_attn.training.overrides import Config, override
from monai_attn.training.pretrained import MODEL, Fit, Start

# overlays of the template: a training has at most one of these merged, and trains no locator
TEMPLATE_ONLY = ("baseline", "hard", "reinforce", "locator")
RUN, SPLIT, TRAINING = "run.json", "split.json", "training"
PRETRAINED = f"{TRAINING}/pretrained.pt"
RECORDS = ("weights", "extended")  # entries of run.json besides the request
COSINE, MONAI_COSINE = "monai_attn.training.WarmupCosine", "WarmupCosineSchedule"
SETTABLE = ("train.json", "inference.json", "evaluate.json")
UNCALIBRATED: Config = {"temperature": 1.0, "interval": {}}
PURPOSE = "Trained by its user; nothing is known of its quality beyond eval/scores.json. Not for patients."


@dataclass(frozen=True)
class Request:
    """Options of a training; when it is resumed, only the number of epochs may differ.

    Attributes:
        bundle: name or folder of the bundle that it is made from.
        data: the data set.
        labels: the choice of classes, as `choose_classes` takes it; empty for those of the bundle.
        fold: which of `folds` parts validates, from 0; without it the data set's own split or first fold
            counts, or else a part of `validation` is drawn.
        folds: how many parts; by default as many as the data set says, or 5.
        validation: fraction of the cases that validates.
        group: a regular expression that finds the patient in a case's name.
        overlay: the bundle's overlay that it begins from, such as "hard"; none by default.
        settings: config id to value.
        pretrained: bundle, run or file whose weights it starts from; none by default.
    """

    bundle: str
    data: str
    labels: tuple[str, ...] = ()
    fold: int | None = None
    folds: int | None = None
    validation: float = 0.2
    group: str | None = None
    overlay: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    pretrained: str | None = None


def begin(
    run: Path,
    request: Request,
    split: Split,
    classes: LabelClasses | None,
    *,
    weights: tuple[Start, Fit] | None = None,
    ignore: int | None = None,
    expected: Mapping[int, Expected] | None = None,
) -> None:
    """Make the folder of a new training. `run.json` is written last: a folder that has it is complete.

    Args:
        run: the folder; made if needed, and empty so far.
        request: options of the training.
        split: its cases.
        classes: the chosen classes; None for those of the bundle.
        weights: weights that it starts from, and how far they fit its network; copied into the folder.
        ignore: value of voxels in the label files that count nowhere; None for that of the bundle.
        expected: expectations of the labels it will write, by class; none by default.

    Raises:
        ValueError: if the folder holds anything or cannot be written to, or a setting fits no config.
    """
    check_empty(run)
    configs = read_configs(request)
    train, inference = configs["train.json"], configs["inference.json"]
    if classes:
        values = {str(value): number for value, number in classes.label_map.items()}
        override([train, inference], {"num_classes": len(classes.names), "label_map": values})
    if ignore is not None:
        override([train], {"ignore": ignore})
    train["dataset_dir"] = request.data
    train["split"] = {
        "_target_": "monai_attn.datasets.read_split",
        "path": f"$@bundle_root + '/{SPLIT}'",
    }
    train["val_interval"] = min(train["val_interval"], train["epochs"])
    _leave_out_locator(inference)
    inference |= UNCALIBRATED
    _expect([inference, configs.get("evaluate.json", {})], request, classes, expected or {})
    if "pretrained" in train:
        train["pretrained"] = f"$@bundle_root + '/{PRETRAINED}'" if weights else None
    start = weights[0] if weights else None
    _describe(configs["metadata.json"], request, split, train, classes, start)
    template = find_bundle(request.bundle)
    make_writable(run)
    (run / "configs").mkdir(exist_ok=True)
    for name, config in configs.items():
        _write(run / "configs" / name, config)
    for name in ("LICENSE", "configs/logging.conf"):
        shutil.copyfile(template / name, run / name)
    write_split(run / SPLIT, split)
    if start:
        _copy_weights(start, run / PRETRAINED)
    _write_text(run / "docs" / "README.md", _readme(run, request, split, start))
    _write_text(run / "docs" / "data_license.txt", f"Data: {request.data}. Its licence applies.\n")
    _write(run / RUN, {**asdict(request), "weights": weights and weights[0].record(weights[1])})


def read_configs(request: Request) -> dict[str, Config]:
    """Read the configs of the bundle that a training is made from, with the requested settings.

    Raises:
        ValueError: if there is no such bundle or overlay, or a setting fits none of its configs.
    """
    folder = find_bundle(request.bundle) / "configs"
    files = [file for file in sorted(folder.glob("*.json")) if file.stem not in TEMPLATE_ONLY]
    configs = {file.name: _read(file) for file in files}
    if request.overlay:
        _lay_over(configs, folder / f"{request.overlay}.json")
    override([configs[name] for name in SETTABLE if name in configs], request.settings)
    return configs


def _lay_over(configs: dict[str, Config], path: Path) -> None:
    """Merge an overlay into train.json by MONAI's rules, and the shared ids into inference.json too."""
    if not path.is_file():
        raise ValueError(f"{path}: the bundle has no such overlay; take another --gate or --bundle")
    overlay = _read(path)
    for name in ("train.json", "inference.json"):
        config = ConfigParser(configs[name])
        for key, value in overlay.items():
            if name == "train.json" or key in config:
                merge_kv(config, key, copy.deepcopy(value))
        configs[name] = config.get()


def check_empty(run: Path) -> None:
    """Check that the folder of a new training is empty or does not exist.

    Raises:
        ValueError: if it holds anything, or is a file.
    """
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise ValueError(
            f"{run}: is not empty; go on with its training by --resume, or choose another folder"
        )


def go_on(run: Path, request: Request) -> dict[str, str]:
    """Check that a training is resumed with its own options, and apply another number of epochs.

    Returns:
        Lines for the user: under "weights" the weights that it goes on from, under "epochs" the effect
        of another number of epochs.

    Raises:
        ValueError: if the folder holds no training, no checkpoint can be read, more epochs are done than
            asked for, or another option differs; it names the option.
    """
    try:
        begun = json.loads((run / RUN).read_text(encoding="utf-8"))
        begun = {name: value for name, value in begun.items() if name not in RECORDS}
        old = {**begun.pop("settings"), **begun}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{run}: holds no training to go on with (no whole {RUN}); delete what is in it, and leave out "
            "--resume to begin one"
        ) from error
    asked = json.loads(json.dumps(asdict(request)))
    new = {**asked.pop("settings"), **asked}
    for said in (old, new):  # earlier versions stored the default
        said["folds"] = said.get("folds") or FOLDS
    for name in sorted(old.keys() | new.keys()):
        if name == "epochs" and name in new:
            continue
        if old.get(name) != new.get(name):
            raise ValueError(
                f"{run}: was begun with {name} {_said(old, name)}, not {_said(new, name)}; resume it "
                "with the same options, or begin in another folder"
            )
    with warnings.catch_warnings():  # training reads it again, and warns then
        warnings.simplefilter("ignore")
        state = read_state(run / TRAINING)
    train = _read(run / "configs" / "train.json")
    extended = new.get("epochs", train["epochs"]) != train["epochs"]
    lines = {"weights": describe_weights(run)}
    if state:
        lines["weights"] = (
            f"the checkpoint in {run / TRAINING}, after epoch {state['epoch']} of {train['epochs']}"
        )
        waited = state["parts"].get("early_stop", {})
        if waited.get("counter", 0) >= train["patience"]:
            lines["weights"] += ", where early stopping ended it"
            if extended and "epochs" not in waited:
                raise ValueError(
                    f"{run}: ended early in an earlier version, whose early stopping cannot count anew. "
                    f"Begin in another folder, with --from {run}."
                )
    if extended:
        lines["epochs"] = _set_epochs(run, train, new["epochs"], state["epoch"] if state else 0)
    return lines


def _set_epochs(run: Path, train: Config, epochs: int, done: int) -> str:
    """Set another number of epochs for a training, and describe the effect in one line."""
    before = train["epochs"]
    override([train], {"epochs": epochs})
    if epochs < max(1, done):
        raise ValueError(
            f"{run}: {done} epochs are done (got epochs {epochs}, expected {max(1, done)} or more). Ask "
            "for more epochs, or begin in another folder."
        )
    train["val_interval"] = min(train["val_interval"], epochs)
    schedule = train.get("lr_scheduler", {})
    if schedule.get("_target_") == MONAI_COSINE:  # it would keep its length, and rise after its end
        schedule["_target_"] = COSINE
    _write(run / "configs" / "train.json", train)
    begun = _read(run / RUN)
    begun["settings"]["epochs"] = epochs
    begun["extended"] = [*begun.get("extended", []), {"after": done, "epochs": epochs}]
    _write(run / RUN, begun)
    readme = run / "docs" / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    _write_text(
        readme, f"{text}\nAfter epoch {done} it was given {epochs} epochs, {before} before.\n"
    )
    rate = "the learning rate follows lr_scheduler in train.json"
    if schedule.get("_target_") == COSINE:
        rate = f"the learning rate goes on along a cosine over all {epochs}"
    return (
        f"{epochs} instead of {before}, {done} are done; from epoch {done + 1} on {rate}, and early "
        "stopping counts anew"
    )


def describe_weights(run: Path) -> str:
    """Describe in one line the weights that the first epoch of a training starts from."""
    begun = _read(run / RUN)
    record = begun.get("weights")
    if record:
        return Fit(**record["fit"]).describe(record["from"])
    seed = _read(run / "configs" / "train.json")["seed"]
    said = f"from scratch (random, seed {seed})"
    try:
        has_weights = (find_bundle(begun["bundle"]) / MODEL).is_file()
    except ValueError:
        has_weights = False
    return said + (
        f"; --from {begun['bundle']} starts from {begun['bundle']}'s weights" if has_weights else ""
    )


def note_scores(run: Path, means: Mapping[str, float]) -> None:
    """Write the mean scores of a trained bundle into its metadata."""
    path = run / "configs" / "metadata.json"
    _write(path, {**_read(path), "eval_metrics": dict(means)})


def _said(values: Mapping[str, Any], name: str) -> str:
    return json.dumps(values[name]) if name in values else "at its default"


def _copy_weights(start: Start, path: Path) -> None:
    """Copy the weights that a training starts from: the source may be gone when it is resumed."""
    with atomic_write(path) as file, start.file.open("rb") as source:
        shutil.copyfileobj(source, file)
    if sha256_of(path) != start.sha256:
        raise ValueError(
            f"{start.file}: changed while it was read. Start again when nothing writes to it."
        )


def _leave_out_locator(inference: Config) -> None:
    """Remove the template's locator, which was made for the template's weights."""
    if "locator" in inference:
        inference["locator"] = None
        inference.pop("locator_def", None)
        inference["displayable_configs"]["focus"] = False


def _expect(
    configs: Sequence[Config],
    request: Request,
    classes: LabelClasses | None,
    expected: Mapping[int, Expected],
) -> None:
    """Set what is expected of the labels in configs that have these ids, unless the request sets it."""
    values: Config = {
        "expected": {str(label): one.content() for label, one in expected.items()},
        "keep_largest": [label for label, one in expected.items() if one.pieces == 1],
    }
    if classes:
        # it is not known which of them are hollow, and how a network breaks them into pieces
        values |= {"fill_holes": [], "keep_pieces_from": 1.0}
    for config in configs:
        config |= {
            name: value
            for name, value in values.items()
            if name in config and name not in request.settings
        }


def _describe(
    metadata: Config,
    request: Request,
    split: Split,
    train: Config,
    classes: LabelClasses | None,
    start: Start | None,
) -> None:
    """Describe this bundle in the metadata, instead of its template."""
    cases = {part: len(cases) for part, cases in split.items()}
    metadata["description"] = (
        f"Trained on {cases['training']} cases of {Path(request.data).name} and chosen on "
        f"{cases['validation']}, from the bundle {Path(request.bundle).name}."
    )
    metadata["changelog"] = {metadata["version"]: f"trained from {Path(request.bundle).name}"}
    metadata["data_source"] = Path(request.data).name
    metadata["intended_use"] = PURPOSE
    metadata["eval_metrics"] = {}
    for name in ("calibration", "pretrained"):
        metadata.pop(name, None)
    if start:
        name = Path(start.source).name
        metadata["description"] += f" Its weights started as those of {name}."
        metadata["pretrained"] = {"from": name, "sha256": start.sha256}
    formats = metadata["network_data_format"]
    for side in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        side["spatial_shape"] = train["roi_size"]
    if classes:
        numbered = {str(number): name for number, name in enumerate(classes.names)}
        formats["outputs"]["pred"]["channel_def"] = numbered
        formats["outputs"]["pred"]["num_channels"] = len(numbered)
        said = ", ".join(f"{number} is {name}" for number, name in numbered.items())
        metadata["label_classes"] = f"single channel data, {said}"
        metadata["pred_classes"] = f"{len(numbered)} channels of logits: {said}"
        metadata["task"] = f"Segmentation of {', '.join(classes.names[1:])}"


def _readme(run: Path, request: Request, split: Split, start: Start | None) -> str:
    weights = f"those of {start.name}, SHA-256 {start.sha256}" if start else "random numbers"
    settings = "\n".join(
        f"| `{name}` | `{json.dumps(value)}` |" for name, value in request.settings.items()
    )
    return f"""# {run.name}

{PURPOSE}

Made from the bundle {Path(request.bundle).name}. {len(split["training"])} cases trained it, and
{len(split["validation"])} chose the best weights: `split.json` names them. How training went is in
`training/`, labels and scores of the validation cases are in `eval/`. Those scores are a little too good,
since the weights were chosen by them. Before training the weights were {weights}.

| id | value |
|---|---|
{settings or "| | the bundle's own |"}

```
monai-attn segment SCAN -o OUT --bundle {run.name}
cd {run.name} && python -m monai.bundle run --config_file configs/inference.json --dataset_dir SCANS
```
"""


def _read(path: Path) -> Config:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON ({error}); correct the file") from error


def _write(path: Path, content: Config) -> None:
    _write_text(path, json.dumps(content, indent=4) + "\n")


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())
