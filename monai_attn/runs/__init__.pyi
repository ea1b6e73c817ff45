from .batch import CaseResult, segment_files
from .extra_files import ExtraFile, WrittenCase
from .output_paths import find_targets, output_paths, summary_folder
from .records import Record, Run, read_run
from .run import segment_targets
from .summary import Summary

__all__ = [
    "CaseResult",
    "ExtraFile",
    "Record",
    "Run",
    "Summary",
    "WrittenCase",
    "find_targets",
    "output_paths",
    "read_run",
    "segment_files",
    "segment_targets",
    "summary_folder",
]
