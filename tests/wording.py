"""Check the wording of docstrings and commit subjects: `python tests/wording.py`.

The first line of a docstring is an imperative verb or a plain noun phrase (PEP 257). A question word at its
start makes a sentence that a reader has to turn round: "What a gate did" for "Measures of a gate".

A commit's subject is an imperative of at most 72 characters: "Regenerate the case figure from the demo".
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

QUESTIONS = {"How", "What", "When", "Where", "Whether", "Which", "Who", "Why"}
LONGEST = 72  # characters of a subject
LATEST = 30  # commits that are checked
NO_PAST = {
    "Embed",
    "Feed",
    "Need",
    "Seed",
    "Shed",
    "Speed",
}  # imperatives that end like a past tense
NO_PARTICIPLE = {"Bring", "String"}
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def faults(path: Path) -> Iterator[str]:
    """Yield a line for each docstring of a file that begins with a question word."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, Documented):
            continue
        first = re.match(r"\w*", ast.get_docstring(node) or "")
        if first and first[0] in QUESTIONS:
            yield f"{path}:{node.body[0].lineno}: docstring begins with {first[0]}"


def subject_fault(subject: str) -> str:
    """Return the fault of a commit's subject, or an empty text."""
    first = subject.partition(" ")[0]
    if len(subject) > LONGEST:
        return f"{len(subject)} characters (limit {LONGEST})"
    if not first[:1].isupper():
        return "begins with a small letter"
    if subject.endswith("."):
        return "ends with a full stop"
    if (first.endswith("ed") and first not in NO_PAST) or (
        first.endswith("ing") and first not in NO_PARTICIPLE
    ):
        return f"{first} is no imperative"
    return ""


def subjects(root: Path) -> list[str]:
    """Return the subjects of the latest commits; none outside a repository."""
    command = ["git", "-C", str(root), "log", f"-{LATEST}", "--no-merges", "--format=%s"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    paths = [*root.glob("monai_attn/**/*.py"), *root.glob("tests/benchmarks/*.py")]
    found = [fault for path in sorted(paths) for fault in faults(path)]
    found += [
        f"commit {subject!r}: {fault}"
        for subject in subjects(root)
        if (fault := subject_fault(subject))
    ]
    print(*found, sep="\n")
    sys.exit(bool(found))
