"""A plan: the grid, the window and the network that suit labelled cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monai_attn import DEFAULT_BUNDLE
from monai_attn.api.arguments import Texts, listed
from monai_attn.bundle.find import find_bundle
from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.channels import name_channels, read_channels, scale_channels
from monai_attn.datasets.checked_cases import check_cases
from monai_attn.datasets.label_rules import read_label_rules
from monai_attn.datasets.masks import mask_choices
from monai_attn.inference.memory import parse_memory
from monai_attn.io.errors import warn_of
from monai_attn.planning.case_reader import read_cases
from monai_attn.planning.fingerprint import Fingerprint, fingerprint
from monai_attn.planning.nnunet_plans import ImportedPlan, read_nnunet_plans
from monai_attn.planning.rules import (
    BundleDefaults,
    TrainingPlan,
    make_plan,
    read_bundle_defaults,
)
from monai_attn.planning.training_memory import training_memory

OnReading = Callable[[str, int, int], None]


def plan(
    data: str | Path,
    *,
    labels: Texts = (),
    ignore: int | None = None,
    channels: Texts = (),
    memory: str | int | None = None,
    bundle: str | Path = DEFAULT_BUNDLE,
    on_case: OnReading = lambda stage, done, total: None,
) -> TrainingPlan:
    """Choose grid, window and network for labelled cases; `write_plan` saves them for a training.

    Args:
        data: the labelled scans: a folder, or a datalist.
        labels: values in the label files and their classes, such as `["1=pancreas"]` or
            `{1: "pancreas"}`; by default those of the bundle.
        ignore: value in the label files that marks unlabelled voxels, which are left out, if there is one.
        channels: the channels of the images in their order, such as `["CT", "PET"]`, each with its scaling if
            it is not to follow from the name, such as `"T2=percentiles"`; by default as the data set names
            them.
        memory: memory that a training step may use, such as `"8GiB"`, or in bytes; by default 0.8 of the free
            memory of the GPU, or of the machine if there is no GPU.
        bundle: the bundle to train.
        on_case: called after each case with the stage, the number of cases done and the number of all cases.

    Returns:
        The plan; `overrides` holds its values, and `reasons` a sentence for each.

    Raises:
        ValueError: if a training would refuse the cases, or no plan fits into the memory.
        Faults: a `ValueError` with a line for each fault of the data set.
    """
    base = read_bundle_defaults(find_bundle(bundle))
    given = parse_memory(memory) if isinstance(memory, str) else memory
    budget, on_gpu = training_memory() if given is None else (given, False)
    measured = _measure(Path(data), listed(labels), listed(channels), ignore, base, on_case)
    return make_plan(measured, budget, base, on_cpu=given is None and not on_gpu)


def import_plan(
    path: str | Path, *, configuration: str | None = None, bundle: str | Path = DEFAULT_BUNDLE
) -> ImportedPlan:
    """Take over a plan that nnU-Net made; `write_plan` saves it for a training.

    Args:
        path: `nnUNetPlans.json` of nnU-Net 2; a `dataset.json` next to it gives the labels.
        configuration: name of one of its configurations; by default `3d_fullres`, or `2d` for a 2D bundle.
        bundle: the bundle to train.

    Returns:
        The values; `left_out` has a line for each thing that cannot be taken over.

    Raises:
        ValueError: if the file is no such plan, or its windows do not fit the bundle's network.
    """
    dims = read_bundle_defaults(find_bundle(bundle)).spatial_dims
    return read_nnunet_plans(path, dims, configuration)


def _measure(
    data: Path,
    chosen: list[str],
    channel_texts: list[str],
    ignore: int | None,
    base: BundleDefaults,
    on_case: OnReading,
) -> Fingerprint:
    """Measure the cases, after the checks that a training with them begins with."""
    chosen = mask_choices(data, chosen)
    cases = find_cases(data, chosen)
    rules = read_label_rules(data, base.classes, chosen, ignore, base.ignore)
    warn_of(rules.check())
    given = read_channels(channel_texts or None)
    channels, channel_doubts = name_channels(data, cases, given, base.channels)
    warn_of(channel_doubts)
    done = 0

    def on_checked(_: object) -> None:
        nonlocal done
        done += 1
        on_case("checking", done, len(cases))

    checked = check_cases(
        cases,
        allowed=rules.allowed,
        declared=rules.declared,
        ignore=rules.ignore,
        channels=channels,
        on_case=on_checked,
    )
    classes, doubts = rules.choose(checked.label_values)
    warn_of(doubts)
    facts = []
    for fact in read_cases(cases, classes, rules.ignore):
        facts.append(fact)
        on_case("measuring", len(facts), len(cases))
    warn_of(checked.doubts)
    scaled = scale_channels(channels, [case.filled for case in checked.cases])
    return fingerprint(facts, classes, rules.ignore, scaled)
