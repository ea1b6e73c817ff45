from .ablation import Ablation, open_ablation
from .attention_table import attention_of_run

__all__ = [
    "Ablation",
    "attention_of_run",
    "open_ablation",
]
