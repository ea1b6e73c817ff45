from .fingerprint import Fingerprint
from .rules import TrainingPlan, make_plan, write_plan

__all__ = [
    "Fingerprint",
    "TrainingPlan",
    "make_plan",
    "write_plan",
]
