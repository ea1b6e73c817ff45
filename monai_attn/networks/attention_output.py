"""A wrapper that returns a network's attention maps together with its logits, for inferers."""

from __future__ import annotations

from torch import Tensor, nn


class WithAttention(nn.Module):
    """A network that also returns its attention maps from a plain call.

    The stitching of windows accepts any callable and resamples all its outputs to one grid. A bundle's
    config can use this class, see `configs/attention.json`.

    Args:
        network: a network with `forward_with_attention`, such as `AttentionUNet`; its mode is kept.

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
        """Return the logits (B, K, *spatial) of x, and each gate's map (B, 1, *coarser), finest first."""
        logits, maps = self.network.forward_with_attention(x)  # type: ignore[operator]
        return (logits, *maps)
