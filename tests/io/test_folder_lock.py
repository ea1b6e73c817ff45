"""Two processes in one folder: the second waits, or says in one line that it does not."""

import subprocess
import sys

import pytest

from monai_attn.io.folder_lock import folder_lock

HOLD = """
import sys
from pathlib import Path
from monai_attn.io.folder_lock import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such lock")
def test_a_folder_that_another_process_holds_is_refused_until_it_ends(tmp_path, holder):
    fault = f"^{tmp_path}: another process is at work in it"
    with pytest.raises(ValueError, match=fault), folder_lock(tmp_path, patience=0.2):
        pass
    holder.kill()  # even a killed process leaves no lock
    with folder_lock(tmp_path, patience=10):
        pass


def test_a_folder_is_made_and_can_be_locked_again(tmp_path):
    for _ in range(2):
        with folder_lock(tmp_path / "new", patience=0):
            assert (tmp_path / "new").is_dir()
