from .figures import case_figure, save_figure
from .page import write_report

__all__ = [
    "case_figure",
    "save_figure",
    "write_report",
]
