import pytest

from monai_attn.bundle.open import open_bundle
from monai_attn.distributed.process_info import NAMES, ProcessInfo, read_process_info
from monai_attn.inference import scan_memory as module


def started(*values):
    """What torchrun sets in the environment of a process."""
    return dict(zip(NAMES, map(str, values), strict=True))


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({}, ProcessInfo(rank=0, size=1, local_rank=0, local_size=1)),
        (started(0, 1, 0, 1), ProcessInfo()),
        (started(3, 4, 1, 2), ProcessInfo(rank=3, size=4, local_rank=1, local_size=2)),
        (
            {"RANK": "1", "WORLD_SIZE": "2"},
            ProcessInfo(),
        ),  # a cluster's variables, without torchrun
    ],
)
def test_the_environment_says_which_rank_this_is(environment, ranks):
    assert read_process_info(environment) == ranks


@pytest.mark.parametrize("values", [(2, 2, 0, 1), (0, 2, 1, 1), (0, 2, 0, 3), ("", 2, 0, 1)])
def test_a_rank_that_makes_no_sense_is_refused(values):
    with pytest.raises(
        ValueError, match=rf"RANK \(={values[0]}\).*; start with torchrun, or unset"
    ):
        read_process_info(started(*values))


@pytest.mark.parametrize(("local_size", "share"), [(1, "8 KiB"), (4, "2 KiB")])
def test_the_ranks_of_a_machine_share_its_memory(
    local_size, share, phantoms, tiny_bundle, monkeypatch
):
    segmenter = open_bundle(tiny_bundle, "cpu", backend="eager").segmenter()
    for name, value in started(0, 4, 0, local_size).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module, "free_memory", lambda: 8 * 2**10)
    monkeypatch.setattr(module, "used_memory", lambda: 0)
    scan = min((phantoms / "imagesTr").iterdir())
    with pytest.raises(ValueError, match=rf"\(allowed: {share}\)"):
        segmenter.check(scan)
