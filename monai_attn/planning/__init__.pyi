from .fingerprint import Fingerprint
from .nnunet_architecture import write_nnunet_plans
from .nnunet_plans import ImportedPlan, read_nnunet_plans
from .rules import TrainingPlan, make_plan, write_plan

__all__ = [
    "Fingerprint",
    "ImportedPlan",
    "TrainingPlan",
    "make_plan",
    "read_nnunet_plans",
    "write_nnunet_plans",
    "write_plan",
]
