from .batch import CaseResult, segment_files
from .records import Record, Run, read_run
from .summary import Summary

__all__ = [
    "CaseResult",
    "Record",
    "Run",
    "Summary",
    "read_run",
    "segment_files",
]
