"""What the command line shows: the version, less, more, and a copy in a file."""

import pytest

import monai_attn
from command_line import run
from monai_attn.cli import console


@pytest.fixture(autouse=True)
def _as_before():
    import logging

    logger = logging.getLogger("monai_attn")
    handlers, level = list(logger.handlers), logger.level
    copies = list(console.messages.handlers)
    yield
    for handler in {*logger.handlers} - {*handlers}:
        handler.close()
    logger.handlers, console.messages.handlers, console.quiet = handlers, copies, False
    logger.setLevel(level)


def test_the_version(monkeypatch, capsys):
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"monai-attn {monai_attn.__version__}\n"


@pytest.fixture
def doubtful(phantoms, tmp_path):
    """A prediction with a label that its reference lacks."""
    import nibabel as nib
    import numpy as np

    image = nib.load(next((phantoms / "labelsTr").iterdir()))
    values = np.asarray(image.dataobj)
    for name, labels in (("a", values), ("b", values * 3)):
        nib.save(nib.Nifti1Image(labels.astype(np.uint8), image.affine), tmp_path / f"{name}.nii")
    return tmp_path / "a.nii", tmp_path / "b.nii"


def test_quiet_leaves_results_and_errors(doubtful, monkeypatch, capsys):
    assert run(monkeypatch, "evaluate", *doubtful) == 0
    loud = capsys.readouterr()
    assert "warning: " in loud.err
    assert run(monkeypatch, "--quiet", "evaluate", *doubtful) == 0
    quiet = capsys.readouterr()
    assert quiet.err == ""
    assert quiet.out == loud.out
    assert run(monkeypatch, "--quiet", "evaluate", "nowhere", "nowhere") == 2
    assert capsys.readouterr().err.startswith("error: nowhere: ")


def test_messages_go_to_a_file_too(doubtful, monkeypatch, capsys, tmp_path):
    log = tmp_path / "log.txt"
    assert run(monkeypatch, "--log-file", log, "evaluate", *doubtful) == 0
    warning = capsys.readouterr().err.strip()
    assert run(monkeypatch, "--log-file", log, "evaluate", "nowhere", "nowhere") == 2
    first, *_, last = log.read_text().splitlines()
    assert first.endswith(f"WARNING {warning}")
    assert "ERROR error: nowhere: " in last


@pytest.mark.parametrize(
    ("options", "named"),
    [(("-q", "-v"), "--quiet"), (("--log-file", "/nowhere/log.txt"), "/nowhere/log.txt")],
)
def test_a_wrong_choice_is_one_line(monkeypatch, capsys, options, named):
    assert run(monkeypatch, *options, "doctor") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {named}")


def test_nothing_is_added_to_a_file_that_is_no_log(monkeypatch, capsys, tmp_path, doubtful):
    scan = doubtful[0]
    before = scan.read_bytes()
    assert run(monkeypatch, "--log-file", scan, "evaluate", *doubtful) == 2
    assert f"{scan}: is not a log file, so nothing is added to it" in capsys.readouterr().err
    assert scan.read_bytes() == before
    log = tmp_path / "log.txt"
    for _ in range(2):
        assert run(monkeypatch, "--log-file", log, "evaluate", *doubtful) == 0
