"""Packages that a segmentation does not need: MONAI is imported without them, and others can import them."""

import subprocess
import sys

import pytest

from monai_attn.cli.light_imports import UNUSED


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_monai_comes_without_them_and_they_can_be_imported_afterwards():
    before, after, plots = run_python(
        "import sys\n"
        "from monai_attn.cli.light_imports import UNUSED, import_monai\n"
        "import_monai()\n"
        "count = lambda: sum(name in sys.modules for name in UNUSED)\n"
        "assert 'monai.transforms' in sys.modules\n"
        "print(count())\n"
        "import matplotlib.pyplot, ignite.engine, scipy.signal\n"
        "import monai.handlers\n"
        "print(count())\n"
        "print(monai.handlers.StatsHandler().__class__.__name__)\n"
    )
    assert (before, plots) == ("0", "StatsHandler")
    assert int(after) >= 3


def test_what_is_imported_already_stays():
    (said,) = run_python(
        "import sys, ignite\n"
        "from monai_attn.cli.light_imports import import_monai\n"
        "import_monai()\n"
        "import monai.engines\n"
        "print(sys.modules['ignite'] is ignite)\n"
    )
    assert said == "True"


@pytest.mark.slow
def test_segment_needs_none_of_them(phantoms, tmp_path):
    scan = next((phantoms / "imagesTr").glob("*.nii.gz"))
    words = ["segment", str(scan), "-o", str(tmp_path / "out"), "--attention"]
    *_, found = run_python(
        "import sys\n"
        "from monai_attn.cli.app import app\n"
        f"app({words!r}, standalone_mode=False)\n"
        f"print(sum(name in sys.modules for name in {UNUSED!r}))\n"
    )
    assert found == "0"
