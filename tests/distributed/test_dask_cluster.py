"""Work on a Dask cluster: each item has a result, whatever happens to the workers."""

import os

import pytest
import torch

pytest.importorskip("distributed")
from monai_attn.distributed import dask_cluster
from monai_attn.distributed.dask_cluster import WorkerDied, dask_client, run_on_workers

DASK = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


# options, the message
BAD_OPTIONS = [
    ({"workers": 0}, r"workers \(=0\) must be 1 or more"),
    ({"scheduler": "tcp://a:1", "workers": 2}, r"the scheduler tcp://a:1 has workers of its own"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ValueError, match=message), dask_client(**options):
        pass


@DASK
def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(dask_cluster, "PATIENCE", 0.2)
    with (
        pytest.raises(ValueError, match=r"^tcp://127\.0\.0\.1:1: no Dask scheduler") as raised,
        dask_client("tcp://127.0.0.1:1"),
    ):
        pass
    assert "\n" not in str(raised.value)


def test_the_extra_is_named_if_dask_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ValueError, match=r'pip install "monai-attn\[dask\]"'), dask_client():
        pass


@DASK
@pytest.mark.slow
def test_an_item_that_ends_its_workers_does_not_lose_the_others(monkeypatch):
    def halved(item, by):
        if item == "deadly":
            os._exit(1)
        return item / by

    items = [2, 4, "deadly", 6, "text", 8]
    with dask_client(workers=2) as client:
        found = dict(run_on_workers(client, halved, items, 2))
    assert [found[item] for item in (2, 4, 6, 8)] == [1, 2, 3, 4]
    assert isinstance(found["deadly"], WorkerDied)
    assert isinstance(found["text"], TypeError)


@DASK
@pytest.mark.slow
def test_workers_share_the_cores_and_leave_the_environment_as_it_was(monkeypatch):
    def count_threads(item):
        return torch.get_num_threads()

    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    before = dict(os.environ)
    with dask_client(workers=2) as client:
        threads = [threads for _, threads in run_on_workers(client, count_threads, [0, 1])]
    assert threads == [2, 2]
    assert dict(os.environ) == before
