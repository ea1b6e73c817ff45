"""Summaries of batches, read for tests."""

import json

from monai_attn.runs.summary import JSON


def statuses(out):
    """The status of each case that a summary names."""
    return {row["case"]: row["status"] for row in json.loads((out / JSON).read_text())["cases"]}
