"""Attention U-Net and its gates: torch and MONAI layers, nothing else."""

from monai_attn.networks.gates import HardGate, SoftGate
from monai_attn.networks.unet import AttentionUNet

__all__ = ["AttentionUNet", "HardGate", "SoftGate"]
