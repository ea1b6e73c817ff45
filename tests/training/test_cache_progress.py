"""Progress of filling a cache, whoever fills it."""

import time

import pytest
import torch
from monai.transforms import Compose, Transform
from rich.console import Console

from monai_attn.runs.progress_lines import ProgressLines
from monai_attn.training.cache_progress import CacheProgress
from monai_attn.training.case_cache import CachedCases


class Read(Transform):
    def __call__(self, case):
        return {"image": torch.zeros(2)}


@pytest.fixture
def dataset(tmp_path):
    for name in "abc":
        (tmp_path / name).touch()
    cases = [{"image": tmp_path / name, "label": tmp_path / name} for name in "abc"]
    return CachedCases(cases, Compose([Read()]), tmp_path / "cache")


@pytest.fixture
def lines():
    return ProgressLines(Console(), every=60)


def test_the_cases_that_were_missing_are_counted(dataset, lines):
    dataset[0]  # is there already
    caching = CacheProgress(lines, every=60)
    caching.start(dataset)
    assert lines.line() == "caching: 0 of 2"
    dataset[1]
    caching.count()
    assert lines.line().startswith("caching: 1 of 2")
    caching.stop()
    assert lines.line() == ""
    caching.stop()  # a second time, as a training that fails stops twice


def test_files_of_other_processes_are_seen(dataset, lines):
    caching = CacheProgress(lines, every=0.01)
    caching.start(dataset)
    for i in range(3):
        dataset[i]
    for _ in range(500):
        if lines.line() == "":
            break
        time.sleep(0.01)
    assert lines.line() == ""
    caching.stop()


@pytest.mark.parametrize("filled", [True, False])
def test_without_missing_cases_there_is_no_line(dataset, lines, filled):
    if filled:
        for i in range(3):
            dataset[i]
    caching = CacheProgress(lines)
    caching.start(dataset if filled else [1, 2])
    assert lines.tasks == []
    caching.stop()


def test_a_case_without_its_file_is_left_to_the_loader(dataset, tmp_path):
    (tmp_path / "b").unlink()
    assert dataset.missing_entries() == []
