import os
import random
import signal
import stat
import subprocess
import sys
import time

import pytest

from monai_attn.io import unnamed_file
from monai_attn.io.files import atomic_write, make_writable


@pytest.fixture(params=["without a name", "hidden"])
def system(request, monkeypatch, tmp_path):
    """Both ways: where the system has files without a name, and where it has not."""
    if request.param == "hidden":
        monkeypatch.setattr(unnamed_file, "OPEN_FILES", tmp_path / "nothing")
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without a name")


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("old", [None, "old"], ids=["new file", "over an old one"])
def test_the_file_appears_with_what_was_written(tmp_path, system, old):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.exists() is bool(old)
    assert content(tmp_path) == {"a.txt": "new"}


@pytest.mark.parametrize("old", [None, "old"], ids=["new file", "over an old one"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_all_as_it_was(tmp_path, system, old, error):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)

    def write():
        with atomic_write(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert content(tmp_path) == ({"a.txt": "old"} if old else {})


def test_a_failed_renaming_leaves_no_stray_file(tmp_path, system):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match=r"a\.txt"), atomic_write(tmp_path / "a.txt") as file:
        file.write(b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_leaves_the_old_file(tmp_path, system):
    resource = pytest.importorskip("resource")
    path = tmp_path / "a"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"), atomic_write(path) as file:
            file.write(b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert content(tmp_path) == {"a": "old"}


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system has no files without a name")
def test_until_it_is_whole_the_folder_shows_nothing(tmp_path):
    with atomic_write(tmp_path / "a") as file:
        file.write(b"half")
        file.flush()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, system, umask, mode):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "a"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_missing_folders_are_made(tmp_path):
    with atomic_write(str(tmp_path / "b" / "c" / "a")) as file:
        file.write(b"new")
    assert (tmp_path / "b" / "c" / "a").read_text() == "new"


def test_two_writers_do_not_share_a_file(tmp_path, system):
    with atomic_write(tmp_path / "a") as first, atomic_write(tmp_path / "a") as second:
        first.write(b"first")
        second.write(b"second")
    assert content(tmp_path) == {"a": "first"}  # the one that ended last


def test_a_long_name_is_no_longer_while_it_is_written(tmp_path, system):
    name = "ä" * 127  # 254 bytes of the 255 that a name may have
    with atomic_write(tmp_path / name) as file:
        file.write(b"new")
    assert content(tmp_path) == {name: "new"}


def test_a_link_is_replaced_and_what_it_points_to_is_left(tmp_path, system):
    (tmp_path / "other").write_text("other")
    (tmp_path / "a").symlink_to(tmp_path / "other")
    with atomic_write(tmp_path / "a") as file:
        file.write(b"new")
    assert not (tmp_path / "a").is_symlink()
    assert content(tmp_path) == {"a": "new", "other": "other"}


WRITER = """
import sys
from pathlib import Path
from monai_attn.io.files import atomic_write
print("ready", flush=True)
for number in range(10**6):
    with atomic_write(Path(sys.argv[1]) / f"{number % 3}") as file:
        for _ in range(50):
            file.write(b"%06d" % number * 1000)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_writer_killed_at_any_moment_leaves_whole_files_alone(tmp_path, number):
    rng = random.Random(0)
    for _ in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(number)
        assert process.wait() != 0
        process.stdout.close()
        for path in tmp_path.iterdir():
            text = path.read_bytes()
            assert text == text[:6] * 50_000, f"{path} is not whole"
    # killed in the instant of replacing an old file, a whole one may keep its hidden name
    assert {path.name for path in tmp_path.glob("[!.]*")} == {"0", "1", "2"}


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    make_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file/x: cannot be written to \(Not a directory\)"):
        make_writable(tmp_path / "file" / "x")
