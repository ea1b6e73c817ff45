"""Ranks as threads of one process, which meet in a store in memory."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import HashStore

from monai_attn.ranks import Ranks
from monai_attn.team import Ended, RankError, Team

SIZE = 3
ITEMS = list("abcdefghij")


@pytest.fixture
def teams():
    store = HashStore()
    return [Team(Ranks(rank, SIZE, rank, SIZE), store) for rank in range(SIZE)]


def on_each(teams, function):
    """What a function gives on each rank, all at once; an error is given too."""

    def guarded(team):
        try:
            return function(team)
        except (Ended, RankError) as error:
            return error

    with ThreadPoolExecutor(len(teams)) as pool:
        return list(pool.map(guarded, teams, timeout=20))


def test_each_item_goes_to_one_rank(teams):
    shares = on_each(teams, lambda team: list(team.take(ITEMS)))
    assert sorted(item for share in shares for item in share) == ITEMS
    assert all(share == sorted(share) for share in shares)


def test_a_slow_rank_holds_no_other_back(teams):
    slow = teams[1].take(ITEMS)
    assert next(slow) == "a"
    assert list(teams[0].take(ITEMS)) == ITEMS[1:]
    assert list(slow) == []


def test_the_first_rank_has_what_all_make(teams):
    def work(team):
        return list(team.gather(team.take(ITEMS), len(ITEMS)))

    first, *others = on_each(teams, work)
    assert sorted(first) == ITEMS
    assert others == [[], []]


def test_the_first_rank_gathers_although_others_made_everything(teams):
    for team in teams[1:]:
        list(team.gather(team.take(ITEMS), len(ITEMS)))
    assert list(teams[0].gather(teams[0].take(ITEMS), len(ITEMS))) == ITEMS


def test_ranks_that_agree_go_on(teams):
    assert on_each(teams, lambda team: team.agree({"scans": 4})) == [None] * SIZE


def test_ranks_that_differ_end_with_one_error_and_one_code(teams):
    def begin(team):
        try:
            team.agree({"scans": 4, "backend": "eager" if team.ranks.rank < 2 else "openvino"})
        except RankError as error:
            return team.end(error.code), str(error)
        except Ended:
            return team.end(0), ""

    said = 'rank 2: backend is "openvino", on the first rank "eager"; '
    first, *others = on_each(teams, begin)
    assert first[0] == 2
    assert first[1].startswith(said)
    assert others == [(2, ""), (2, "")]


def test_an_error_of_another_rank_is_said_by_the_first(teams):
    teams[2].report("no such folder", 7)
    with pytest.raises(RankError, match=r"^rank 2: no such folder$") as raised:
        list(teams[0].gather(teams[0].take(ITEMS), len(ITEMS) + 1))
    assert raised.value.code == 7


def test_all_ranks_end_with_the_code_of_the_first(teams):
    assert on_each(teams, lambda team: team.end(1 if team.first else 0)) == [1] * SIZE


def test_a_process_that_is_alone_waits_for_nobody():
    team = Team()
    team.agree({"scans": 4})
    assert team.first
    assert list(team.gather(team.take(ITEMS), len(ITEMS))) == ITEMS
    assert team.end(1) == 1


def test_a_rank_that_failed_does_not_wait_for_ever(teams):
    """The first may be waiting for it."""
    with pytest.raises(TimeoutError):
        teams[1].end(2, patience=0.1)
