"""Weights that a training starts from, as far as they fit its network.

MONAI's `CheckpointLoader` with `strict_shape=False` chooses the same tensors, those whose name and shape
match. But it overwrites what a resumed training has restored, and does not report which tensors were left
out, or that hardly any fits.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, nn

from monai_attn.bundle.find import find_bundle, is_shipped
from monai_attn.bundle.trust import check_shipped
from monai_attn.datasets.regions import Regions
from monai_attn.inference.weights import read_weights
from monai_attn.io.files import sha256_of
from monai_attn.training.checkpoints import LAST, PREVIOUS
from monai_attn.training.config_files import read_config

MODEL = Path("models") / "model.pt"
SUFFIXES = (".pt", ".pth")
LEAST = 0.5  # of the network's parameters: with fewer, hardly anything is carried over
NAMED = 6  # tensors that a line names
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightFit:
    """Comparison of the weights in a file with a network.

    Attributes:
        loaded: number of tensors with the same name and shape in both.
        reshaped: the network's tensors of another shape in the file: name to both shapes.
        missing: the network's tensors that are not in the file.
        unused: tensors that are only in the file.
        share: loaded part of the network's parameters, counted as numbers and not as tensors.
        anew: the network's tensors that start anew although they have a counterpart: name to reason.
    """

    loaded: int
    reshaped: Mapping[str, str]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    share: float
    anew: Mapping[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of the network's tensors."""
        return self.loaded + len(self.reshaped) + len(self.missing) + len(self.anew)

    def describe(self, source: str) -> str:
        """Describe in one line what was loaded from a source, what was not, and why."""
        parts = [f"{self.loaded} of {self.total} tensors from {source}"]
        shapes = [f"{name} ({both})" for name, both in self.reshaped.items()]
        for kind, names in (
            ("new", shapes),
            *((f"new, {why}", names) for why, names in _by_reason(self.anew).items()),
            ("new, not in the file", self.missing),
            ("not used, not in the network", self.unused),
        ):
            if names:
                parts.append(f"{kind}: {_listed(names)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class InitialWeights:
    """The weights that a new training starts from.

    Attributes:
        source: bundle, run or file, as it was requested.
        file: the file of weights.
        sha256: digest of the file.
        state: its tensors.
    """

    source: str
    file: Path
    sha256: str
    state: Mapping[str, Tensor]

    @property
    def name(self) -> str:
        """The source and the file in it, such as `runs/a (models/model.pt)`."""
        return self.source if names_file(self.source) else f"{self.source} ({MODEL.as_posix()})"

    def record(self, fit: WeightFit) -> dict[str, Any]:
        """Return the entry for a run's `run.json`."""
        return {"from": self.name, "sha256": self.sha256, "fit": asdict(fit)}


def names_file(source: str) -> bool:
    """Return True if a source of weights is the name of a file, and not of a bundle or a run."""
    return Path(source).suffix in SUFFIXES


def open_initial_weights(source: str) -> InitialWeights:
    """Read the weights of a bundle, by its name or folder, of a run, or of a `.pt` file.

    Raises:
        ValueError: if there is no such bundle or file, the file holds no weights, or a shipped bundle's
            weights are not those it was shipped with.
    """
    if names_file(source):
        file = Path(source)
    else:
        root = find_bundle(source)
        if is_shipped(source):
            check_shipped(root)
        file = root / MODEL
    state = read_tensors(file)
    return InitialWeights(source, file, sha256_of(file), state)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read a file of weights: named tensors of finite numbers.

    Raises:
        ValueError: if it is missing, damaged, or holds anything else.
    """
    state = read_weights(file, torch.device("cpu"))
    if not isinstance(state, dict) or not all(isinstance(part, Tensor) for part in state.values()):
        content = type(state).__name__
        content = f"the entries {_listed(map(str, state))}" if isinstance(state, dict) else content
        raise ValueError(
            f"{file}: no weights (got {content}, expected named tensors). Name a bundle, a run, or the "
            f"{MODEL.as_posix()} of one."
        )
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(
                f"{file}: {name} holds numbers that are not finite. Take weights of another training."
            )
    return {str(name): tensor for name, tensor in state.items()}


def other_heads(source: str, network: nn.Module, regions: Regions | None) -> dict[str, str]:
    """Return a network's heads that weights cannot start, with the reason: regions are no classes.

    The channels of both may be as many, but a softmax over classes, the background among them, says other
    things than a sigmoid for each region.

    Args:
        source: as for `open_initial_weights`. Of a file alone nothing is known.
        network: the network of the training.
        regions: its regions; None for classes.
    """
    config = Path() if names_file(source) else find_bundle(source) / "configs" / "inference.json"
    if not config.is_file():
        return {}
    theirs = read_config(config).get("regions")
    if bool(theirs) == bool(regions):
        return {}
    kinds = "a softmax over classes", "a sigmoid for each region"
    there, here = kinds if regions else kinds[::-1]
    reason = f"{there} in the file and {here} here"
    return {name: reason for name in network.state_dict() if name.startswith("heads.")}


def fit_weights(
    network: nn.Module, state: Mapping[str, Tensor], anew: Mapping[str, str] | None = None
) -> WeightFit:
    """Compare weights with a network, by name and shape; nothing is loaded.

    Args:
        network: the network.
        state: the weights.
        anew: tensors that start anew in any case: name to reason.
    """
    own = network.state_dict()
    kept = {name: why for name, why in (anew or {}).items() if name in own and name in state}
    reshaped = {
        name: f"shape {tuple(tensor.shape)}, file has {tuple(state[name].shape)}"
        for name, tensor in own.items()
        if name in state and name not in kept and state[name].shape != tensor.shape
    }
    missing = tuple(name for name in own if name not in state)
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    new = {*reshaped, *missing, *kept}
    loaded = sum(size for name, size in sizes.items() if name not in new)
    return WeightFit(
        loaded=len(own) - len(new),
        reshaped=reshaped,
        missing=missing,
        unused=tuple(name for name in state if name not in own),
        share=loaded / max(1, sum(sizes.values())),
        anew=kept,
    )


def check_fit(fit: WeightFit, source: str, target: str) -> None:
    """Refuse weights of another network: at least half of the parameters must fit.

    Args:
        fit: of the weights and the network.
        source: name of the weights.
        target: name of the network.

    Raises:
        ValueError: if they do not; it names both.
    """
    if fit.share >= LEAST:
        return
    percent = math.floor(100 * fit.share)
    example = next((f", such as {name}: {both}" for name, both in fit.reshaped.items()), "")
    raise ValueError(
        f"{source}: weights of another network than {target}: {percent} % of the parameters fit "
        f"(expected {100 * LEAST:g} % or more{example}). Train the network that they belong to, by its own "
        "bundle, plan and network_def, or start from scratch."
    )


def load_pretrained(
    network: nn.Module,
    path: str | Path | None = None,
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    anew: Sequence[str] = (),
) -> nn.Module:
    """Load the weights that a training starts from into its network, and log what was loaded.

    In a config it stands between `network_def` and `network`, so that optimizer, handlers and all
    processes begin with these weights. A training that is resumed has its weights in its checkpoint, and
    the file is not read.

    Args:
        network: changed in place.
        path: the file of weights; None for the network's own random start.
        folder: the folder of the training's checkpoints.
        resume: resume the training from its checkpoint, if there is one.
        anew: names of tensors that keep their random start.

    Returns:
        The network.

    Raises:
        ValueError: if the file holds no weights, or less than half of the network's parameters fit.

    Example:
        >>> network = torch.nn.Conv3d(1, 2, kernel_size=1)
        >>> load_pretrained(network, "models/model.pt")  # doctest: +SKIP
    """
    source = (
        "from scratch (random), unless a handler loads weights; pretrained names a file of them"
    )
    if resume and folder and has_checkpoint(Path(folder)):
        source = f"the checkpoint in {folder}"
    elif path is not None:
        state = read_tensors(Path(path))
        fit = fit_weights(network, state, dict.fromkeys(anew, "another activation in the file"))
        check_fit(fit, str(path), f"this {type(network).__name__}")
        left_out = {*fit.reshaped, *fit.unused, *fit.anew}
        matching = {name: tensor for name, tensor in state.items() if name not in left_out}
        network.load_state_dict(matching, strict=False)
        source = fit.describe(str(path))
    if idist.get_rank() == 0:
        log.info("weights: %s", source)
    return network


def has_checkpoint(folder: Path) -> bool:
    """Return True if a training has written a checkpoint."""
    return any((folder / name).is_file() for name in (LAST, PREVIOUS))


def _by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        grouped.setdefault(reason, []).append(name)
    return grouped


def _listed(names: Iterable[str]) -> str:
    """List the first few names, and say how many more there are."""
    names = list(names)
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
