from .attention_numbers import gate_numbers
from .calibration import Confidence, fit_temperature, reliability
from .comparison import compare_scores
from .evaluation import evaluate_files, evaluate_pairs
from .label_scores import score_labels
from .scores import CaseScore, read_scores, score_table, write_summary
from .surface_distances import surface_score

__all__ = [
    "CaseScore",
    "Confidence",
    "compare_scores",
    "evaluate_files",
    "evaluate_pairs",
    "fit_temperature",
    "gate_numbers",
    "read_scores",
    "reliability",
    "score_labels",
    "score_table",
    "surface_score",
    "write_summary",
]
