from .api.compare import compare
from .api.evaluate import evaluate
from .api.model import Model, load
from .api.plan import import_plan, plan
from .api.report import report
from .api.result import Result
from .api.train import train
from .io.errors import ScanWarning
from .io.volume import Volume
from .networks import AttentionUNet, HardGate, SoftGate

__version__: str
DEFAULT_BUNDLE: str
__all__ = [
    "DEFAULT_BUNDLE",
    "AttentionUNet",
    "HardGate",
    "Model",
    "Result",
    "ScanWarning",
    "SoftGate",
    "Volume",
    "__version__",
    "compare",
    "evaluate",
    "import_plan",
    "load",
    "plan",
    "report",
    "train",
]
