"""ProcessInfo as threads of one process, which meet in a store in memory."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import HashStore

from monai_attn.distributed.process_info import ProcessInfo
from monai_attn.distributed.work_queue import ProcessError, RunEnded, WorkQueue

SIZE = 3
ITEMS = list("abcdefghij")


@pytest.fixture
def queues():
    store = HashStore()
    return [WorkQueue(ProcessInfo(rank, SIZE, rank, SIZE), store) for rank in range(SIZE)]


def on_each(queues, function):
    """What a function gives on each rank, all at once; an error is given too."""

    def guarded(queue):
        try:
            return function(queue)
        except (RunEnded, ProcessError) as error:
            return error

    with ThreadPoolExecutor(len(queues)) as pool:
        return list(pool.map(guarded, queues, timeout=20))


def test_each_item_goes_to_one_rank(queues):
    shares = on_each(queues, lambda queue: list(queue.take(ITEMS)))
    assert sorted(item for share in shares for item in share) == ITEMS
    assert all(share == sorted(share) for share in shares)


def test_a_slow_rank_holds_no_other_back(queues):
    slow = queues[1].take(ITEMS)
    assert next(slow) == "a"
    assert list(queues[0].take(ITEMS)) == ITEMS[1:]
    assert list(slow) == []


def test_the_first_rank_has_what_all_make(queues):
    def work(queue):
        return list(queue.gather(queue.take(ITEMS), len(ITEMS)))

    first, *others = on_each(queues, work)
    assert sorted(first) == ITEMS
    assert others == [[], []]


def test_the_first_rank_gathers_although_others_made_everything(queues):
    for queue in queues[1:]:
        list(queue.gather(queue.take(ITEMS), len(ITEMS)))
    assert list(queues[0].gather(queues[0].take(ITEMS), len(ITEMS))) == ITEMS


def test_ranks_that_agree_go_on(queues):
    assert on_each(queues, lambda queue: queue.agree({"scans": 4})) == [None] * SIZE


def test_ranks_that_differ_end_with_one_error_and_one_code(queues):
    def begin(queue):
        try:
            queue.agree({"scans": 4, "backend": "eager" if queue.ranks.rank < 2 else "openvino"})
        except ProcessError as error:
            return queue.end(error.code), str(error)
        except RunEnded:
            return queue.end(0), ""

    said = 'rank 2: backend is "openvino", on the first rank "eager"; '
    first, *others = on_each(queues, begin)
    assert first[0] == 2
    assert first[1].startswith(said)
    assert others == [(2, ""), (2, "")]


def test_an_error_of_another_rank_is_said_by_the_first(queues):
    queues[2].report("no such folder", 7)
    with pytest.raises(ProcessError, match=r"^rank 2: no such folder$") as raised:
        list(queues[0].gather(queues[0].take(ITEMS), len(ITEMS) + 1))
    assert raised.value.code == 7


def test_all_ranks_end_with_the_code_of_the_first(queues):
    assert on_each(queues, lambda queue: queue.end(1 if queue.first else 0)) == [1] * SIZE


def test_a_process_that_is_alone_waits_for_nobody():
    queue = WorkQueue()
    queue.agree({"scans": 4})
    assert queue.first
    assert list(queue.gather(queue.take(ITEMS), len(ITEMS))) == ITEMS
    assert queue.end(1) == 1


def test_a_rank_that_failed_does_not_wait_for_ever(queues):
    """The first may be waiting for it."""
    with pytest.raises(TimeoutError):
        queues[1].end(2, patience=0.1)
