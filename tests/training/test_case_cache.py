"""Cases whose steady preprocessing is kept on disk."""

import os

import pytest
import torch
from monai.transforms import Compose, RandomizableTransform, Transform

from monai_attn.training.case_cache import CachedCases


class Read(Transform):
    """Stands for reading and resampling: counts how often it runs."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def __call__(self, case):
        READ.append(case["image"])
        value = float(case["image"].read_text())
        return {"image": torch.full((2, 2), self.scale * value), "label": torch.zeros(2, 2)}


class Draw(RandomizableTransform):
    def __call__(self, case):
        self.R.random_sample(3)
        return {**case, "drawn": self.R.random_sample()}


class Spoil(Transform):
    """Changes its input in place."""

    def __call__(self, case):
        case["image"].add_(100)
        return case


READ: list = []


@pytest.fixture
def cases(tmp_path):
    READ.clear()
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("7")
    return [{"image": tmp_path / name, "label": tmp_path / name} for name in "abc"]


def cached(cases, tmp_path, *more, scale=1.0, seed=0):
    return CachedCases(cases, Compose([Read(scale), *more]), tmp_path / "cache", seed)


def test_a_case_is_read_once_ever(cases, tmp_path):
    dataset = cached(cases, tmp_path, Draw())
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        assert [dataset[i]["image"].tolist() for i in range(3)] == [[[7, 7], [7, 7]]] * 3
    again = cached(cases, tmp_path, Draw())
    assert again[0]["image"][0, 0] == 7
    assert len(READ) == 3


@pytest.mark.parametrize("change", ["the file", "its time", "an argument"])
def test_what_has_changed_is_read_again(cases, tmp_path, change):
    cached(cases, tmp_path)[0]
    if change == "the file":
        cases[0]["image"].write_text("11")
    if change == "its time":
        os.utime(cases[0]["image"], ns=(1, 1))
    cached(cases, tmp_path, scale=3.0 if change == "an argument" else 1.0)[0]
    assert len(READ) == 2


@pytest.mark.parametrize(("image", "changed"), [("series", "series/1"), ("b.hdr", "b.img")])
def test_a_scan_of_several_files_is_read_again_if_one_changes(tmp_path, image, changed):
    (tmp_path / "series").mkdir()
    for name in ("series/1", "b.hdr", "b.img"):
        (tmp_path / name).write_text("7")
    dataset = cached([{"image": tmp_path / image, "label": tmp_path / "b.hdr"}], tmp_path)
    entry = dataset.entry(0)
    (tmp_path / changed).write_text("11")
    assert dataset.entry(0) != entry


def test_what_follows_the_steady_part_does_not_change_the_entry(cases, tmp_path):
    first = cached(cases, tmp_path, Draw()).entry(0)
    assert cached(cases, tmp_path, Draw(), Spoil()).entry(0) == first


def test_a_change_in_place_does_not_reach_the_cache(cases, tmp_path):
    dataset = cached(cases, tmp_path, Draw(), Spoil())
    assert [dataset[0]["image"][0, 0].item() for _ in range(3)] == [107, 107, 107]


def test_what_is_drawn_follows_from_seed_epoch_and_case_alone(cases, tmp_path):
    def drawn(seed, epoch, order):
        dataset = cached(cases, tmp_path, Draw(), seed=seed)
        dataset.set_epoch(epoch)
        return {i: dataset[i]["drawn"] for i in order}

    first = drawn(0, 1, (0, 1, 2))
    assert drawn(0, 1, (2, 0, 1)) == first
    assert len({*first.values()}) == 3
    for other in (drawn(1, 1, (0, 1, 2)), drawn(0, 2, (0, 1, 2))):
        assert not {*other.values()} & {*first.values()}


def test_workers_that_live_on_learn_of_the_epoch(cases, tmp_path):
    dataset = cached(cases, tmp_path, Draw())
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=None,
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context="spawn",  # a fork would take along all that other tests have loaded
    )
    drawn = []
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        drawn.append([case["drawn"] for case in loader])
        assert drawn[-1] == [dataset[i]["drawn"] for i in range(3)]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("content", [b"", b"no archive", "cut short"])
def test_a_damaged_entry_is_made_again(cases, tmp_path, content):
    dataset = cached(cases, tmp_path, Draw())
    dataset[0]
    entry = dataset.entry(0)
    entry.write_bytes(entry.read_bytes()[:500] if content == "cut short" else content)
    assert dataset[0]["image"][0, 0] == 7
    assert len(READ) == 2


def test_a_file_that_is_gone_is_named(cases, tmp_path):
    cases[1]["label"].unlink()
    with pytest.raises(ValueError, match=r"b: .*No such file.*expected a file\). Copy"):
        cached(cases, tmp_path)[1]
