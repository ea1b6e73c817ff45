"""How well a trained bundle does on the cases that it was not trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from monai_attn.bundle import open_bundle
from monai_attn.data.names import case_name, labels_name
from monai_attn.data.splits import read_split
from monai_attn.evaluation import evaluate_cases, score_table, summarize, write_summary
from monai_attn.inference.batch import segment_files
from monai_attn.training.run_folder import SPLIT, note_scores
