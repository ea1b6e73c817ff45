"""Each process validates a case, also if there are fewer cases than processes."""

import pytest
from monai.data import Dataset

from monai_attn.training.rank_samplers import evaluation_sampler, validation_sampler


@pytest.fixture
def shares(monkeypatch):
    """The cases that each process takes of a number of cases."""

    def of(sampler, cases, processes):
        monkeypatch.setattr("ignite.distributed.get_world_size", lambda: processes)
        monkeypatch.setattr("torch.distributed.get_world_size", lambda group=None: processes)
        monkeypatch.setattr("torch.distributed.is_available", lambda: True)
        taken = []
        for rank in range(processes):
            monkeypatch.setattr("torch.distributed.get_rank", lambda group=None, rank=rank: rank)
            taken.append([*sampler(Dataset(range(cases)))])
        return taken

    return of


@pytest.mark.parametrize("sampler", [validation_sampler, evaluation_sampler])
@pytest.mark.parametrize(
    ("cases", "processes", "expected"),
    [(3, 1, [[0, 1, 2]]), (3, 2, [[0, 2], [1]]), (2, 2, [[0], [1]])],
)
def test_every_case_is_in_one_share(shares, sampler, cases, processes, expected):
    assert shares(sampler, cases, processes) == expected


@pytest.mark.parametrize(("cases", "processes"), [(1, 2), (2, 3)])
def test_of_too_few_cases_every_process_validates_all(shares, cases, processes):
    assert shares(validation_sampler, cases, processes) == [[*range(cases)]] * processes


@pytest.mark.parametrize(("cases", "start"), [(1, 1), (0, 1), (2, 2)])
def test_too_few_cases_cannot_be_evaluated(shares, cases, start):
    """Each would write the same files."""
    with pytest.raises(ValueError, match=rf"cases \(={cases}\) .* 3 processes .* Start {start} "):
        shares(evaluation_sampler, cases, 3)
