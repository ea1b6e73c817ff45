"""Attention U-Net and its gates, made of torch and MONAI layers only."""

from monai_attn.networks.attention_output import WithAttention
from monai_attn.networks.ensemble import Ensemble
from monai_attn.networks.gate_ablation import open_gates
from monai_attn.networks.gates import HardGate, SampledOutput, SoftGate
from monai_attn.networks.nnunet import NnUNetAttentionUNet
from monai_attn.networks.unet import AttentionUNet, gated_levels_of

__all__ = [
    "AttentionUNet",
    "Ensemble",
    "HardGate",
    "NnUNetAttentionUNet",
    "SampledOutput",
    "SoftGate",
    "WithAttention",
    "gated_levels_of",
    "open_gates",
]
