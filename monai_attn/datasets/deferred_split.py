"""A split of a data set that is made when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.datalist import Case
from monai_attn.datasets.listed_splits import Split
from monai_attn.datasets.splits import split_cases


class DeferredSplit(Mapping[str, "list[Case]"]):
    """The cases for training and validation, found and drawn when one of both is asked for.

    A bundle's client may give cases of its own and evaluate the whole config nevertheless: MONAI Label does,
    where there is no data set in the bundle's folder for data.

    Args:
        source: as for `find_cases`.
        validation: as for `split_cases`.
        seed: as for `split_cases`.
    """

    def __init__(self, source: str | Path, validation: float = 0.2, seed: int = 0) -> None:
        self.source = source
        self.validation = validation
        self.seed = seed

    @cached_property
    def _split(self) -> Split:
        return split_cases(find_cases(self.source), validation=self.validation, seed=self.seed)

    def __getitem__(self, part: str) -> list[Case]:
        """Return the cases of a part, `training` or `validation`."""
        return self._split[part]

    def __iter__(self) -> Iterator[str]:
        return iter(self._split)

    def __len__(self) -> int:
        return len(self._split)
