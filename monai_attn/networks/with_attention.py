"""A network whose attention maps come out beside its logits, for what runs windows."""

from __future__ import annotations

from torch import Tensor, nn


class WithAttention(nn.Module):
    """A network that returns its attention maps too, from a plain call.

    What stitches windows takes any callable, and brings all that it returns to one grid. A bundle's
    config can name it, see `configs/attention.json`.

    Args:
        network: one with `forward_with_attention`, such as `AttentionUNet`; in the mode that it is in.

    Example:
        >>> net = WithAttention(AttentionUNet(3, in_channels=1, out_channels=2).eval())
        >>> [tuple(output.shape[1:]) for output in net(torch.rand(1, 1, 32, 32, 32))]
        [(2, 32, 32, 32), (1, 16, 16, 16), (1, 8, 8, 8), (1, 4, 4, 4)]
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits (B, K, *spatial) of x, and the map (B, 1, *coarser) of each gate, finest first."""
        logits, maps = self.network.forward_with_attention(x)  # type: ignore[operator]
        return (logits, *maps)
