"""Check the wording of docstrings: `python tests/wording.py`.

The first line of a docstring is an imperative verb or a plain noun phrase (PEP 257). A question word at its
start makes a sentence that a reader has to turn round: "What a gate did" for "Measures of a gate".
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

QUESTIONS = {"How", "What", "When", "Where", "Whether", "Which", "Who", "Why"}
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def faults(path: Path) -> Iterator[str]:
    """Yield a line for each docstring of a file that begins with a question word."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, Documented):
            continue
        first = re.match(r"\w*", ast.get_docstring(node) or "")
        if first and first[0] in QUESTIONS:
            yield f"{path}:{node.body[0].lineno}: docstring begins with {first[0]}"


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    paths = [*root.glob("monai_attn/**/*.py"), *root.glob("tests/benchmarks/*.py")]
    found = [fault for path in sorted(paths) for fault in faults(path)]
    print(*found, sep="\n")
    sys.exit(bool(found))
