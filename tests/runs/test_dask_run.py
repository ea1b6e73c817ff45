"""A folder segmented by the workers of a Dask cluster: the same files as by one process."""

import shutil

import pytest

pytest.importorskip("distributed")
from command_line import run
from tests.runs.summaries import statuses

DASK = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
# options of the command line, the message
BAD_OPTIONS = [
    (("--engine", "spark"), "error: --engine spark: unknown (dask expected)."),
    (("--workers", 2), "error: --workers 2: is for --engine dask. Add --engine dask."),
    (("--scheduler", "tcp://a:1"), "error: --scheduler tcp://a:1: is for --engine dask."),
    (("--engine", "dask", "--dry-run"), "error: --dry-run: runs in this process."),
    (
        ("--engine", "dask", "--scheduler", "tcp://a:1", "--workers", 2),
        "error: --workers 2: the scheduler tcp://a:1 has workers of its own.",
    ),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_options_that_do_not_go_together(options, message, tmp_path, monkeypatch, capsys, phantoms):
    assert run(monkeypatch, "segment", phantoms / "imagesTr", "-o", tmp_path, *options) == 2
    assert message in capsys.readouterr().err


@DASK
@pytest.mark.slow
def test_workers_write_what_one_process_writes(
    phantoms, tiny_bundle, tmp_path, monkeypatch, capsys
):
    scans, out = tmp_path / "scans", tmp_path / "out"
    shutil.copytree(phantoms / "imagesTr", scans)
    (scans / "broken.nii.gz").write_text("<html>")
    arguments = ("segment", scans, "--bundle", tiny_bundle, "--backend", "eager")
    engine = ("--engine", "dask", "--workers", 2)
    assert run(monkeypatch, *arguments, "-o", tmp_path / "one") == 1
    assert run(monkeypatch, *arguments, "-o", out, *engine, "--statistics") == 1
    assert f"error: {scans / 'broken.nii.gz'}: a web page, not a scan" in capsys.readouterr().err
    assert statuses(out) == statuses(tmp_path / "one")
    for path in (tmp_path / "one").glob("*_seg.nii.gz"):
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert len(list(out.glob("*_statistics.json"))) == 4
    min(out.glob("*_seg.nii.gz")).unlink()
    assert run(monkeypatch, *arguments, "-o", out, *engine, "--statistics", "--resume") == 1
    assert sorted(statuses(out).values()) == ["failed", "kept", "kept", "kept", "segmented"]
