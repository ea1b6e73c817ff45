"""A folder of scans, some of them broken, and what becomes of each."""

import json
import os
import shutil
import subprocess
import sys
import warnings

import nibabel as nib
import numpy as np
import pytest

from command_line import names_in, run
from monai_attn.bundle.open import open_bundle
from monai_attn.io.errors import ScanWarning
from monai_attn.io.names import case_name
from monai_attn.io.scan import open_scan
from monai_attn.runs.batch import segment_files
from monai_attn.runs.summary import JSON
from tests.runs.summaries import statuses


def sound(folder):
    return sorted(path.name.removesuffix(".nii.gz") for path in folder.glob("phantom_*"))


def test_each_case_stands_for_itself(mixed_scans, tiny_bundle, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert run(monkeypatch, "segment", mixed_scans, "-o", out, "--bundle", tiny_bundle) == 1
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    broken = sorted(path for path in mixed_scans.iterdir() if not path.name.startswith("phantom"))
    assert len(errors) == len(broken) == 6
    for path, error in zip(broken, errors, strict=True):
        assert error.startswith(f"error: {path}: ") or "long" in path.name
        assert "; " in error
    assert "summary.csv: 4 segmented, 6 failed" in printed.out.replace("\n", "")
    assert statuses(out) == {
        **{path.name.removesuffix(".nii.gz"): "failed" for path in broken},
        **dict.fromkeys(sound(mixed_scans), "segmented"),
    }
    made = [
        name
        for case in sound(mixed_scans)
        for name in (f"{case}_seg.manifest.json", f"{case}_seg.nii.gz")
    ]
    assert names_in(out) == [*made, "summary.csv", "summary.json"]
    reasons = {row["case"]: row["reason"] for row in json.loads((out / JSON).read_text())["cases"]}
    assert "a web page, not a scan" in reasons["page"]
    assert reasons["long" * 60].endswith("rename the scan"), "before the work, not by the system"


def test_a_pipe_is_no_scan_and_is_not_waited_for(tiny_bundle, tmp_path, monkeypatch, capsys):
    os.mkfifo(tmp_path / "a.nii.gz")
    arguments = ("-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert run(monkeypatch, "segment", tmp_path, *arguments) == 1
    assert "a.nii.gz: is a pipe, not a regular file; give" in capsys.readouterr().err


def test_resuming_keeps_what_is_whole_and_up_to_date(
    mixed_scans, tiny_bundle, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    arguments = ("segment", mixed_scans, "-o", out, "--bundle", tiny_bundle)
    run(monkeypatch, *arguments)
    first, second, third, fourth = sound(mixed_scans)
    before = {path: path.read_bytes() for path in out.glob("*_seg.nii.gz")}
    (out / f"{first}_seg.manifest.json").unlink()
    for case in (first, second):
        (out / f"{case}_seg.nii.gz").unlink()
    shutil.copy(mixed_scans / f"{fourth}.nii.gz", mixed_scans / f"{third}.nii.gz")
    assert run(monkeypatch, *arguments, "--resume") == 1
    found = statuses(out)
    assert [found[case] for case in sound(mixed_scans)] == [*["segmented"] * 3, "kept"]
    for case in (first, second, fourth):
        path = out / f"{case}_seg.nii.gz"
        assert path.read_bytes() == before[path]
    run(monkeypatch, *arguments, "--resume")
    assert [statuses(out)[case] for case in sound(mixed_scans)] == ["kept"] * 4
    run(monkeypatch, *arguments, "--resume", "--attention")
    assert [statuses(out)[case] for case in sound(mixed_scans)] == ["segmented"] * 4
    run(monkeypatch, *arguments)
    assert [statuses(out)[case] for case in sound(mixed_scans)] == ["segmented"] * 4


def shifted(folder, scan):
    """A scan whose intercept was lost."""
    image = nib.load(scan)
    path = folder / "shifted.nii.gz"
    nib.save(nib.Nifti1Image(image.get_fdata(dtype=np.float32) + 1024, image.affine), path)
    return path


@pytest.mark.filterwarnings("default")
def test_what_is_doubtful_is_warned_about_or_refused(
    phantoms, tiny_bundle, tmp_path, monkeypatch, capsys
):
    good = sorted((phantoms / "imagesTr").iterdir())[0]
    odd = shifted(tmp_path, good)
    out, arguments = tmp_path / "out", ("--bundle", tiny_bundle, "-o", tmp_path / "out")
    assert run(monkeypatch, "segment", odd, good, *arguments) == 0
    (warned,) = [w for w in capsys.readouterr().err.splitlines() if w.startswith("warning: ")]
    assert warned.startswith(f"warning: {odd}: values from ")
    assert "HU shifted by 1024? subtract 1024" in warned
    rows = {row["case"]: row for row in json.loads((out / JSON).read_text())["cases"]}
    assert [f"warning: {text}" for text in rows["shifted"]["warnings"]] == [warned]
    shutil.rmtree(out)
    assert run(monkeypatch, "segment", odd, good, *arguments, "--strict") == 1
    (error,) = [w for w in capsys.readouterr().err.splitlines() if w.startswith("error: ")]
    assert error.startswith(f"error: {odd}: values from ")
    assert error.endswith("(warnings are errors in strict mode)")
    assert len(list(out.glob("*_seg.nii.gz"))) == 1


@pytest.mark.filterwarnings("default")
def test_what_was_doubtful_is_not_kept_by_a_strict_run(
    phantoms, tiny_bundle, tmp_path, monkeypatch
):
    odd = shifted(tmp_path, sorted((phantoms / "imagesTr").iterdir())[0])
    arguments = ("segment", odd, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments) == 0
    assert run(monkeypatch, *arguments, "--resume") == 0
    assert statuses(tmp_path / "out") == {"shifted": "kept"}
    assert run(monkeypatch, *arguments, "--resume", "--strict") == 1
    (row,) = json.loads((tmp_path / "out" / JSON).read_text())["cases"]
    assert row["status"] == "failed"
    assert row["reason"].endswith("(the labels of an earlier run are still there)")


def test_one_volume_of_a_4d_scan(phantoms, tiny_bundle, tmp_path, monkeypatch, capsys):
    scan = nib.load(sorted((phantoms / "imagesTr").iterdir())[0])
    values = np.asarray(scan.dataobj)
    several = tmp_path / "several.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([values, values + 1024], axis=-1), scan.affine), several)
    arguments = ("segment", several, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments) == 1
    assert (
        "one volume expected. Choose one with --volume N, N from 0 to 1" in capsys.readouterr().err
    )
    assert run(monkeypatch, *arguments, "--volume", 0) == 0
    one = nib.load(tmp_path / "out" / "several_seg.nii.gz")
    assert one.shape == values.shape
    np.testing.assert_array_equal(one.affine, scan.affine)


@pytest.mark.parametrize("name", ["$import os", "@bundle_root", "%configs", "a b;c", "-o", "ä\n"])
def test_a_name_is_a_name_and_nothing_else(phantoms, tiny_bundle, tmp_path, monkeypatch, name):
    scan = tmp_path / "scans" / f"{name}.nii.gz"
    scan.parent.mkdir()
    shutil.copy(sorted((phantoms / "imagesTr").iterdir())[0], scan)
    arguments = ("segment", scan.parent, "-o", tmp_path / "$out", "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments) == 0
    assert (tmp_path / "$out" / f"{name}_seg.nii.gz").is_file()


def test_a_name_does_nothing_to_the_terminal(tmp_path, tiny_bundle, monkeypatch, capsys):
    (tmp_path / "\x1b[2Ja.nii.gz").write_bytes(b"<html>")
    arguments = ("segment", tmp_path, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments) == 1
    printed = capsys.readouterr()
    assert r"\x1b[2Ja.nii.gz: a web page, not a scan" in printed.err
    assert "\x1b[2J" not in printed.err + printed.out


def test_a_name_that_is_no_text_stops_no_other_case(phantoms, tiny_bundle, tmp_path):
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    shutil.copy(scan, tmp_path / "a.nii.gz")
    shutil.copy(scan, os.fsdecode(bytes(tmp_path / "b") + b"\xff.nii.gz"))
    command = [sys.executable, "-m", "monai_attn.cli", "segment", tmp_path, "-o", tmp_path / "out"]
    done = subprocess.run([*command, "--bundle", tiny_bundle, "--backend", "eager"], timeout=300)
    assert done.returncode == 0
    assert set(statuses(tmp_path / "out").values()) == {"segmented"}


def test_a_list_of_scans_is_not_replaced_by_a_summary(phantoms, tiny_bundle, tmp_path, monkeypatch):
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    shutil.copy(scan, tmp_path / "a.nii.gz")
    content = '["a.nii.gz"]'
    for name, code in (("summary.json", 2), ("a_seg.manifest.json", 1)):
        (tmp_path / name).write_text(content)
        arguments = ("segment", tmp_path / name, "-o", tmp_path, "--bundle", tiny_bundle)
        assert run(monkeypatch, *arguments) == code
        assert (tmp_path / name).read_text() == content
        (tmp_path / name).unlink()


def test_labels_stay_in_the_output_folder(phantoms, tiny_bundle, tmp_path, monkeypatch, capsys):
    """Wherever the scans of a datalist lie, and whatever links lie in the folder."""
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    (tmp_path / "list").mkdir()
    shutil.copy(scan, tmp_path / "a.nii.gz")
    (tmp_path / "list" / "dataset.json").write_text(json.dumps({"test": ["../a.nii.gz"]}))
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_seg.nii.gz").symlink_to(tmp_path / "precious.nii.gz")
    (tmp_path / "precious.nii.gz").write_text("precious")
    arguments = ("segment", tmp_path / "list", "-o", out, "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments) == 1
    assert "a_seg.nii.gz: is not a result of an earlier run" in capsys.readouterr().err
    assert (out / "a_seg.nii.gz").read_text() == "precious"
    (out / "a_seg.nii.gz").unlink()
    assert run(monkeypatch, *arguments) == 0
    assert names_in(tmp_path) == ["a.nii.gz", "list", "out", "precious.nii.gz"]


def test_labels_that_were_corrected_by_hand_stay(phantoms, tiny_bundle, tmp_path, monkeypatch):
    scans = [shutil.copy(scan, tmp_path) for scan in sorted((phantoms / "imagesTr").iterdir())[:2]]
    names, out = [case_name(scan) for scan in scans], tmp_path / "out"
    arguments = ("segment", *scans, "-o", out, "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments) == 0
    corrected = out / f"{names[0]}_seg.nii.gz"
    image = nib.load(corrected)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine), corrected)
    before = corrected.read_bytes()
    for more in ([], ["--resume"]):
        assert run(monkeypatch, *arguments, *more) == 1
        assert statuses(out) == {names[0]: "failed", names[1]: "kept" if more else "segmented"}
        assert corrected.read_bytes() == before


def test_a_write_that_fails_leaves_no_map_behind(phantoms, tiny_bundle, tmp_path, monkeypatch):
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    out = tmp_path / "out"
    arguments = ("segment", scan, "-o", out, "--bundle", tiny_bundle, "--attention")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("monai_attn.runs.case_files.write_labels", full)
        assert run(monkeypatch, *arguments) == 1
    assert [name for name in names_in(out) if name.endswith(".nii.gz")] == []
    assert run(monkeypatch, *arguments, "--resume") == 0


def test_in_a_folder_of_one_s_own_anything_is_replaced(phantoms, tiny_bundle, tmp_path):
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    target = tmp_path / "a_seg.nii.gz"  # as a bundle's client writes it: without a manifest
    target.write_bytes(b"other labels")
    segmenter = open_bundle(tiny_bundle, "cpu", backend="eager").segmenter()
    (refused,) = segment_files(segmenter, {scan: target})
    assert "is not a result of an earlier run" in refused.error
    (replaced,) = segment_files(segmenter, {scan: target}, own=True)
    assert replaced.status in ("segmented", "check")
    for letters in (241, 250):  # the manifest's name is too long, and that of the labels
        (long,) = segment_files(
            segmenter, {scan: tmp_path / f"{'a' * letters}_seg.nii.gz"}, own=True
        )
        assert "file name too long" in long.error


def test_a_folder_segmented_into_itself_can_be_segmented_again(
    phantoms, tiny_bundle, tmp_path, monkeypatch
):
    for scan in sorted((phantoms / "imagesTr").iterdir())[:2]:
        shutil.copy(scan, tmp_path)
    arguments = ("segment", tmp_path, "-o", tmp_path, "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments) == 0
    before = names_in(tmp_path)
    assert run(monkeypatch, *arguments, "--resume") == 0
    assert names_in(tmp_path) == before
    assert set(statuses(tmp_path).values()) == {"kept"}


def test_whatever_a_segmenter_raises_ends_its_case_alone(tmp_path):
    class Raising:
        levels, uncertainty, probabilities, settings = (), False, False, {}
        open = staticmethod(open_scan)

        def __call__(self, scan, on_window):
            warnings.warn(f"{scan.path}: odd", ScanWarning, stacklevel=1)
            raise KeyError(scan.path.name)

    for name in "ab":
        (tmp_path / f"{name}.nii").write_bytes(b"x")
    targets = {tmp_path / f"{name}.nii": tmp_path / f"{name}_seg.nii" for name in "ab"}
    results = list(segment_files(Raising(), targets))
    assert [result.error for result in results] == [
        f"{tmp_path}/{name}.nii: KeyError: '{name}.nii'" for name in "ab"
    ]
    assert results[0].warnings == (f"{tmp_path}/a.nii: odd",)
