import os
import stat

import pytest

from monai_attn.data.files import make_writable, written_whole


@pytest.mark.parametrize("old", [None, "old"], ids=["new file", "over an old one"])
def test_the_file_appears_with_what_was_written(tmp_path, old):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)
    with written_whole(path) as part:
        part.write_text("new")
        assert path.exists() is bool(old)
        assert part.parent == path.parent  # one file system, so that the renaming is atomic
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("old", [None, "old"], ids=["new file", "over an old one"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_all_as_it_was(tmp_path, old, error):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)

    def write():
        with written_whole(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert [p.read_text() for p in tmp_path.iterdir()] == ([old] if old else [])


def test_a_failed_renaming_leaves_no_stray_file(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match=r"a\.txt"), written_whole(tmp_path / "a.txt") as part:
        part.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


# the file's name, the suffix by which a writer chooses its format
SUFFIXES = [
    ("a.nii.gz", ".nii.gz"),
    ("a.b.NII.GZ", ".NII.GZ"),
    ("a.nii", ".nii"),
    ("v1.2.png", ".png"),
    ("a", ""),
]


@pytest.mark.parametrize(("name", "suffix"), SUFFIXES)
def test_the_part_keeps_the_suffix_and_is_hidden(tmp_path, name, suffix):
    with written_whole(tmp_path / name) as part:
        assert part.name.endswith(f".part{suffix}")
        assert part.name.startswith(".")
        part.touch()
    assert (tmp_path / name).exists()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with written_whole(tmp_path / "a") as part:
            part.touch()
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
        assert os.umask(umask) == umask  # and leave it as it was
    finally:
        os.umask(before)


def test_missing_folders_are_made(tmp_path):
    with written_whole(str(tmp_path / "b" / "c" / "a")) as part:
        part.write_text("new")
    assert (tmp_path / "b" / "c" / "a").read_text() == "new"


def test_two_writers_do_not_share_a_part(tmp_path):
    with written_whole(tmp_path / "a") as first, written_whole(tmp_path / "a") as second:
        assert first != second


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    make_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file/x: cannot be written to \(Not a directory\)"):
        make_writable(tmp_path / "file" / "x")
