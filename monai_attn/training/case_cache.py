"""Labelled cases whose deterministic preprocessing is done once and kept on disk.

MONAI's `CacheDataset` holds every volume in memory, in each process; its `PersistentDataset` reads a
whole volume to cut a window. Here the files are mapped into memory: only the part that a window
needs is read, the system keeps as much as it has room for, and all processes share it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from types import FunctionType
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from monai.transforms import Compose, RandomizableTrait

import monai_attn
from monai_attn.io.channels import files_of
from monai_attn.io.files import atomic_write
from monai_attn.io.nifti.voxels import nifti_files
from monai_attn.io.scan import open_scan
from monai_attn.training.tensor_file import save_tensors


class CachedCases(Dataset):
    """MONAI's `Dataset` with a cache on disk for all transforms before the first random one.

    An entry belongs to the files of its case as they are (path, size, time), to the transforms with
    their arguments, and to the versions of the packages: after any change it is computed again.

    The random part is drawn from `seed`, the epoch and the index of the case: it is the same whatever
    the number of workers and of processes, and whether the run was interrupted.

    Args:
        data: cases, which name their files under `image` and `label`.
        transform: a `Compose`; the transforms before its first random one must give plain tensors.
        cache_dir: folder for the cache, which several runs may share. It is created when needed.
        seed: seed of the random part.

    Raises:
        ValueError: if a case has no such file.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Compose,
        cache_dir: str | Path,
        seed: int = 0,
    ) -> None:
        super().__init__(data, transform)
        first = transform.get_index_of_first(lambda step: isinstance(step, RandomizableTrait))
        self.first_random = len(transform) if first is None else first
        self.cache_dir = Path(cache_dir)
        self.seed = seed
        self._recipe = _recipe(transform.transforms[: self.first_random])
        # shared, for workers that live longer than an epoch
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch that begins, from 1."""
        self._epoch.fill_(epoch)

    def entry(self, index: int) -> Path:
        """Return the file that holds, or will hold, a case before the first random transform."""
        case = self.data[index]
        files = [_identity(file) for key in ("image", "label") for file in files_of(case[key])]
        key = sha256(json.dumps([self._recipe, files]).encode()).hexdigest()[:24]
        return self.cache_dir / f"{key}.pt"

    def missing_entries(self) -> list[Path]:
        """Return the files that the cache still lacks; empty if a case has no file, which loading reports."""
        try:
            entries = [self.entry(index) for index in range(len(self.data))]
        except ValueError:
            return []
        return [entry for entry in dict.fromkeys(entries) if not entry.is_file()]

    def _transform(self, index: int) -> Any:
        """Return a case after all transforms, or a list of windows of it."""
        steady = self.steady(index)
        entropy = (self.seed, int(self._epoch), index)
        self.transform.set_random_state(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        return self.transform(steady, start=self.first_random)

    def steady(self, index: int) -> dict[str, torch.Tensor]:
        """Return a case before the first random transform; changes to it do not reach the cache."""
        entry = self.entry(index)
        if entry.is_file():
            with suppress(RuntimeError, UnpicklingError, EOFError):  # damaged: it is computed again
                return torch.load(entry, mmap=True, weights_only=True)
        case = self.transform(dict(self.data[index]), end=self.first_random)
        with atomic_write(entry) as file:
            save_tensors(case, file)
        return torch.load(entry, mmap=True, weights_only=True)


def _identity(path: Path) -> list[tuple[str, int, int]]:
    """Return path, size and time of a scan's files: all in a DICOM folder, or both of a pair."""
    try:
        inside = sorted(path.iterdir()) if path.is_dir() else _files(path)
        stats = [(file, file.stat()) for file in dict.fromkeys((path, *inside))]
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror} (expected a file). Copy the file there, or leave out the case."
        ) from error
    return [(str(file.absolute()), stat.st_size, stat.st_mtime_ns) for file, stat in stats]


def _files(path: Path) -> tuple[Path, ...]:
    """Return the files of a scan: two where the voxels lie beside the header."""
    return open_scan(path).files if path.suffix.lower() == ".mhd" else nifti_files(path)


def _recipe(steps: Sequence[Any]) -> str:
    """Return a digest of the transforms, their arguments, and the code behind them."""
    versions = [monai_attn.__version__, *(version(name) for name in ("monai", "torch"))]
    return sha256(json.dumps([_plain(steps), versions]).encode()).hexdigest()


def _plain(value: Any, depth: int = 8) -> Any:
    """Convert a value for `json`, the same for equal values: an object to its class and attributes."""
    if isinstance(value, (str, int, float, type(None))):
        return value
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return value.tolist()
    if isinstance(value, FunctionType):
        return [value.__qualname__, value.__code__.co_code.hex()]
    if depth == 0:
        return type(value).__qualname__
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key], depth - 1) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1) for item in value]
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return [type(value).__qualname__, _plain(vars(value), depth - 1)]
    return str(value)  # a dtype, a class, an enumeration
