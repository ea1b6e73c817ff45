"""Description of a trained bundle for its readers: its metadata and its README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from monai_attn.datasets.label_classes import LabelClasses
from monai_attn.datasets.listed_splits import Split
from monai_attn.training.config_files import read_config, write_config
from monai_attn.training.overrides import Config
from monai_attn.training.pretrained import InitialWeights
from monai_attn.training.request import Request

PURPOSE = "Trained by its user; nothing is known of its quality beyond eval/scores.json. Not for patients."


def describe_run(
    metadata: Config,
    request: Request,
    split: Split,
    train: Config,
    classes: LabelClasses | None,
    initial: InitialWeights | None,
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
    if initial:
        name = Path(initial.source).name
        metadata["description"] += f" Its weights started as those of {name}."
        metadata["pretrained"] = {"from": name, "sha256": initial.sha256}
    formats = metadata["network_data_format"]
    for side in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        side["spatial_shape"] = train["roi_size"]
    if classes:
        # of regions too these are the labels that are written, which clients read here
        numbered = {str(number): name for number, name in classes.numbered.items()}
        formats["outputs"]["pred"]["channel_def"] = numbered
        formats["outputs"]["pred"]["num_channels"] = classes.channels
        numbered_names = ", ".join(f"{number} is {name}" for number, name in numbered.items())
        metadata["label_classes"] = f"single channel data, {numbered_names}"
        metadata["pred_classes"] = f"{classes.channels} channels of logits: {numbered_names}"
        if classes.regions:
            regions = "; ".join(
                f"{numbered[str(label)]} holds {', '.join(map(str, values))}"
                for label, values in classes.regions.values.items()
            )
            metadata["label_classes"] += f"; regions that overlap: {regions}"
            metadata["pred_classes"] = (
                f"{classes.channels} channels of logits, a sigmoid each: "
                f"{', '.join(classes.names[1:])}; written as labels in this order: {numbered_names}"
            )
        metadata["task"] = f"Segmentation of {', '.join(classes.names[1:])}"


def run_readme(run: Path, request: Request, split: Split, initial: InitialWeights | None) -> str:
    """Return the README of a training's folder in Markdown."""
    weights = f"those of {initial.name}, SHA-256 {initial.sha256}" if initial else "random numbers"
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


def record_scores(run: Path, means: Mapping[str, float]) -> None:
    """Write the mean scores of a trained bundle into its metadata."""
    path = run / "configs" / "metadata.json"
    write_config(path, {**read_config(path), "eval_metrics": dict(means)})
