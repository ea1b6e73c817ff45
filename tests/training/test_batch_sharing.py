"""What several processes need to train as one would."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from monai_attn.training.batch_sharing import batch_share, synchronized

CPU = torch.device("cpu")


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 3, 1), nn.BatchNorm3d(3), nn.Sequential(nn.ReLU(), nn.BatchNorm3d(3))
    )


def test_a_batch_is_shared_evenly(monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 4)
    assert batch_share(8) == 2
    with pytest.raises(ValueError, match=r"batch_size \(=6\) must be a multiple .* Set .* to 8"):
        batch_share(6)


def test_the_weights_keep_their_names_and_values():
    plain, shared = network(), synchronized(network(), CPU)
    assert not any(isinstance(part, nn.BatchNorm3d) for part in shared.modules())
    for (name, a), (other, b) in zip(
        plain.state_dict().items(), shared.state_dict().items(), strict=True
    ):
        assert name == other
        assert torch.equal(a, b)


def _train(rank, folder):
    """Two steps of one of two processes, which sees one sample of two."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    net = nn.parallel.DistributedDataParallel(synchronized(network(), CPU))
    _steps(net, slice(rank, rank + 1))
    if rank == 0:
        torch.save(net.module.state_dict(), folder / "weights.pt")
    del net  # a wrapper that outlives its group may wait for the other process for ever
    dist.barrier()
    dist.destroy_process_group()


def _steps(net, part):
    torch.manual_seed(1)
    x = torch.randn(2, 1, 2, 3, 4) * torch.tensor([1.0, 5.0]).view(2, 1, 1, 1, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (net(x[part]) ** 3).mean().backward()
        optimizer.step()


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    torch.multiprocessing.spawn(_train, (tmp_path,), nprocs=2)
    alone = network()
    _steps(alone, slice(None))
    together = torch.load(tmp_path / "weights.pt", weights_only=True)
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(together[name], value, rtol=1e-4, atol=1e-4)
    alone.eval()
    other = synchronized(network(), CPU)
    other.load_state_dict(together)
    x = torch.randn(1, 1, 2, 2, 2)
    torch.testing.assert_close(other.eval()(x), alone(x))
