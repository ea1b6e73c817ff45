"""Errors and warnings of commands: one line each, and no traceback."""

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from command_line import run


def test_references_of_other_values_are_doubted(tmp_path, monkeypatch, capsys):
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:2] = 1
    for name, values in (("a_seg", labels), ("same", labels), ("other", labels * 7)):
        nib.save(nib.Nifti1Image(values, np.diag([10.0, 10, 10, 1])), tmp_path / f"{name}.nii.gz")

    def said(reference, *more):
        assert (
            run(monkeypatch, "evaluate", tmp_path / "a_seg.nii.gz", tmp_path / reference, *more)
            == 0
        )
        return capsys.readouterr().err

    assert "warning: only the references hold the values 7. If" in said("other.nii.gz")
    assert said("other.nii.gz", "--map", "7=1") == said("same.nii.gz") == ""
    assert "warning: no reference holds any of the values of --map: 7" in said(
        "same.nii.gz", "--map", "7=1"
    )


@pytest.mark.parametrize(("command", "resumable"), [("train", True), ("ablate", False)])
def test_what_cannot_be_resumed_does_not_say_so(command, resumable, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["monai_attn.cli.app"], "app", lambda **_: 130)
    assert run(monkeypatch, command) == 130
    said = capsys.readouterr().err
    assert said.startswith("error: interrupted")
    assert ("--resume" in said) == resumable


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("segment", "nowhere", "-o", "out"), "error: nowhere: does not exist"),
        (("segment", "{scan}", "-o", "out", "--bundle", "nowhere"), "error: nowhere: no bundle"),
        (("segment", "{scan}", "-o", "out", "--device", "toaster"), "error: device (='toaster')"),
        (("segment", "{scan}", "{scan}", "-o", "a.nii.gz"), "error: "),
        (("segment", "{scan}", "-o", "out", "--memory", "much"), "error: memory (='much') must"),
        (
            ("segment", "{scan}", "-o", "out", "--mode", "half"),
            "error: mode (='half') must be full",
        ),
        (("segment", "{scan}", "-o", "out", "--backend", "fast"), "error: backend (='fast') must"),
        (("evaluate", "nowhere", "{scan}"), "error: nowhere: "),
        (("evaluate", "{scan}", "{scan}", "--map", "7"), "error: --map 7: two whole numbers"),
        (("phantom", "out", "-n", "0"), "error: count (=0)"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_a_user_can_mend_is_one_line(
    phantom_scan, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *[a.format(scan=phantom_scan) for a in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(message)
    assert "\n" not in error
    assert list(tmp_path.iterdir()) == []


def test_each_fault_of_a_data_set_has_its_line(tmp_path, monkeypatch, capsys):
    for name in ("a.nii", "a.nii.gz", "b.nii", "b.nii.gz"):
        (tmp_path / name).touch()
    assert run(monkeypatch, "segment", tmp_path, "-o", tmp_path / "out") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" and ")[0] for line in lines] == [
        f"error: {tmp_path}/{name}" for name in ("a.nii", "b.nii")
    ]


@pytest.mark.filterwarnings("default")  # the command line prints it; elsewhere it is an error
def test_a_warning_is_one_line_that_names_the_file(
    phantom_scan, tmp_path, tiny_bundle, monkeypatch, capsys
):
    image = nib.load(phantom_scan)
    data = image.get_fdata(dtype=np.float32)
    data[0, 0, 0] = np.nan
    scan = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(data, image.affine), scan)
    assert run(monkeypatch, "segment", scan, "-o", tmp_path / "out", "--bundle", tiny_bundle) == 0
    warned = [w for w in capsys.readouterr().err.splitlines() if w.startswith("warning: ")]
    assert warned == [f"warning: {scan}: 1 voxel is NaN or infinite; set to -1024"]


def test_a_fault_of_the_program_is_one_line_too(phantom_scan, monkeypatch, capsys):
    def fault(*_, **__):
        raise KeyError("lost")

    monkeypatch.setattr("monai_attn.api.evaluate.evaluate_files", fault)
    assert run(monkeypatch, "evaluate", phantom_scan, phantom_scan) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "error: KeyError: 'lost' (a fault of this program; --debug shows where: please report it)"
    ]


def test_debug_shows_where_an_error_comes_from(phantom_scan, tmp_path):
    (tmp_path / "bad.nii").write_bytes(b"<html>")
    command = [
        sys.executable,
        "-m",
        "monai_attn.cli",
        "evaluate",
        tmp_path / "bad.nii",
        phantom_scan,
    ]
    for option, shown in (([], False), (["--debug"], True)):
        done = subprocess.run([*command, *option], capture_output=True, text=True)
        assert done.returncode == 2
        assert ("Traceback" in done.stderr) is shown
        assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/bad.nii: not a NIfTI")


def test_an_empty_path_is_refused(phantom_scan, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in (("segment", "", "-o", "out"), ("segment", phantom_scan, "-o", "")):
        assert run(monkeypatch, *arguments) == 2
        assert "an empty path" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
