"""The segment command: its files, its plan, and what it says."""

import json
import re
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from command_line import names_in, run
from monai_attn import DEFAULT_BUNDLE
from monai_attn.phantom import write_phantoms

SUMMARY = ["summary.csv", "summary.json"]


def test_segment_a_folder_and_evaluate_it(phantoms, tiny_bundle, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert run(monkeypatch, "segment", phantoms, "-o", out, "--bundle", tiny_bundle) == 0
    printed = capsys.readouterr()
    assert "not for patients" in printed.out
    assert "pancreas (ml)" in printed.out
    scans = sorted((phantoms / "imagesTr").iterdir())
    for scan in scans:
        labels = nib.load(out / scan.name.replace(".nii.gz", "_seg.nii.gz"))
        assert labels.shape == nib.load(scan).shape
        assert labels.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(labels.affine, nib.load(scan).affine)
    report = tmp_path / "report.json"
    assert run(monkeypatch, "evaluate", out, phantoms / "labelsTr", "-o", report) == 0
    assert len(json.loads(report.read_text())["cases"]) == len(scans)


def test_segment_to_a_named_file(phantom_scan, tiny_bundle, tmp_path, monkeypatch):
    target = tmp_path / "labels.nii.gz"
    assert run(monkeypatch, "segment", phantom_scan, "-o", target, "--bundle", tiny_bundle) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.manifest.json", "labels.nii.gz"]


def test_a_manifest_says_how_labels_were_made(phantom_scan, tiny_bundle, tmp_path, monkeypatch):
    options = ("--bundle", tiny_bundle, "--mode", "full", "--backend", "eager")
    assert run(monkeypatch, "segment", phantom_scan, "-o", tmp_path, *options) == 0
    said = json.loads(
        (tmp_path / phantom_scan.name.replace(".nii.gz", "_seg.manifest.json")).read_text()
    )
    assert said["scan"] == str(phantom_scan)
    settings = said["settings"]
    assert (said["mode"], settings["mode"], settings["backend"]) == ("full", "full", "eager")
    assert settings["bundle"]["name"] == DEFAULT_BUNDLE
    assert len(settings["weights_sha256"]) == len(settings["bundle_sha256"]) == 64
    assert set(said["seconds"]) == {"read", "prepare", "plan", "network", "labels", "write"}


def test_where_the_locator_is_unsure_all_windows_run_and_a_warning_says_so(
    phantom_scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    """The tiny bundle has other weights than its locator was made for."""
    config = tiny_bundle / "configs" / "inference.json"
    content = json.loads(config.read_text())
    content["displayable_configs"]["focus"] = True
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    (bundle / "configs" / "inference.json").write_text(json.dumps(content))
    options = ("--bundle", bundle)
    assert run(monkeypatch, "segment", phantom_scan, "-o", tmp_path, *options) == 0
    said = json.loads(
        (tmp_path / phantom_scan.name.replace(".nii.gz", "_seg.manifest.json")).read_text()
    )
    assert said["mode"] == "full"
    assert said["fallback"].startswith("the locator")
    warned = [w for w in capsys.readouterr().err.splitlines() if w.startswith("warning: ")]
    assert warned == [f"warning: {phantom_scan}: full mode: {said['fallback']}"]
    assert (
        run(monkeypatch, "segment", phantom_scan, "-o", tmp_path, *options, "--mode", "focus") == 2
    )
    assert "the locator was not made for" in capsys.readouterr().err


def test_attention_lies_on_the_scans_grid(phantom_scan, tiny_bundle, tmp_path, monkeypatch):
    options = ("--bundle", tiny_bundle, "--attention")
    assert run(monkeypatch, "segment", phantom_scan, "-o", tmp_path / "with", *options) == 0
    assert run(monkeypatch, "segment", phantom_scan, "-o", tmp_path / "without", *options[:2]) == 0
    name = phantom_scan.name.replace(".nii.gz", "")
    attention = nib.load(tmp_path / "with" / f"{name}_attention_0.nii.gz")  # two levels, one gate
    assert attention.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(attention.affine, nib.load(phantom_scan).affine)
    values = attention.get_fdata()
    assert values.shape == nib.load(phantom_scan).shape
    seen = values[values >= 0]
    assert len(seen) > values.size / 10
    assert 0.5 < seen.mean() <= seen.max() <= 1  # a new gate lets nearly everything through
    labels = [
        nib.load(tmp_path / k / f"{name}_seg.nii.gz").get_fdata() for k in ("with", "without")
    ]
    np.testing.assert_array_equal(*labels)


@pytest.mark.slow  # the shipped weights
def test_a_scan_that_cuts_the_organ_off_is_to_be_checked(tmp_path, monkeypatch, capsys):
    """Its volume is that of a part; strict is about scans, and the labels are there to be looked at."""
    write_phantoms(tmp_path, 1, seed=3, shape=(120, 100, 60), spacing=(3.2, 3.2, 3.2))
    whole = tmp_path / "imagesTr" / "phantom_0003.nii.gz"
    nib.save(nib.load(whole).slicer[:, :, :29], tmp_path / "cut.nii.gz")
    arguments = (
        "segment",
        tmp_path / "cut.nii.gz",
        whole,
        "-o",
        tmp_path / "out",
        "--mode",
        "full",
    )
    assert run(monkeypatch, *arguments) == 0
    printed = capsys.readouterr()
    reason = "; touches the last slice (a part may lie outside the scan)"
    (line,) = [line for line in printed.err.splitlines() if reason in line]
    truth = nib.load(tmp_path / "labelsTr" / whole.name).slicer[:, :, :29].get_fdata() == 1
    (ml,) = re.findall(re.escape(f"check: {tmp_path}/cut.nii.gz: pancreas ") + r"([\d.]+) ml", line)
    # 20.2 ml; a network misses some of an end without its surroundings
    assert float(ml) == pytest.approx(truth.sum() * 3.2**3 / 1000, rel=0.2)
    assert "summary.csv: 1 segmented, 1 to check" in printed.out.replace("\n", "")
    cut, other = json.loads((tmp_path / "out" / "summary.json").read_text())["cases"]
    assert (cut["status"], other["status"], other["reason"]) == ("check", "segmented", "")
    assert "expected 20 to 300 ml" + reason in cut["reason"]
    said = json.loads((tmp_path / "out" / "cut_seg.manifest.json").read_text())
    assert said["check"] == cut["reason"]
    (faces,) = [one for one in said["failed_checks"] if one["rule"] == "faces"]
    assert faces["measured"] == ["last slice"]
    before = (tmp_path / "out" / "cut_seg.manifest.json").read_bytes()
    assert run(monkeypatch, *arguments, "--resume", "--strict") == 0
    assert "summary.csv: 1 kept, 1 to check" in capsys.readouterr().out.replace("\n", "")
    assert (tmp_path / "out" / "cut_seg.manifest.json").read_bytes() == before


def test_entropy_and_intervals_come_with_the_labels_and_are_kept(
    phantom_scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    arguments = ("segment", phantom_scan, "-o", tmp_path, "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments, "--uncertainty", "--interval") == 0
    printed = capsys.readouterr().out
    name = phantom_scan.name.replace(".nii.gz", "")
    entropy = nib.load(tmp_path / f"{name}_entropy.nii.gz")
    np.testing.assert_array_equal(entropy.affine, nib.load(phantom_scan).affine)
    values = entropy.get_fdata()
    assert values.shape == nib.load(phantom_scan).shape
    seen = values[values >= 0]
    assert len(seen) > values.size / 10
    assert seen.max() <= 1
    said = json.loads((tmp_path / f"{name}_seg.manifest.json").read_text())
    assert f"{name}_entropy.nii.gz" in said["files_sha256"]
    assert (said["confidence"]["views"], said["confidence"]["temperature"]) == (5, 1.0)
    ((low, high),) = said["confidence"]["intervals_ml"].values()
    volume = said["volumes_ml"]["1"]
    assert low <= volume <= high
    assert f"{volume:.1f} ({low:.1f} to {high:.1f})" in printed
    assert "intervals: 5 views of each scan" in printed
    summary = (tmp_path / "summary.csv").read_text()
    assert "pancreas_low_ml,pancreas_high_ml" in summary
    assert run(monkeypatch, *arguments, "--uncertainty", "--interval", "--resume") == 0
    assert f"({low:.1f} to {high:.1f})" in capsys.readouterr().out
    assert ",kept," in (tmp_path / "summary.csv").read_text()
    (tmp_path / f"{name}_entropy.nii.gz").unlink()
    assert run(monkeypatch, *arguments, "--uncertainty", "--interval", "--resume") == 0
    assert (tmp_path / f"{name}_entropy.nii.gz").exists(), "it is a file of the manifest"


def test_an_entropy_map_never_replaces_a_scan(
    phantom_scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    for name in ("a.nii.gz", "a_entropy.nii.gz"):
        shutil.copy(phantom_scan, tmp_path / name)
    scans = (tmp_path / "a.nii.gz", tmp_path / "a_entropy.nii.gz")
    arguments = ("-o", tmp_path, "--bundle", tiny_bundle, "--uncertainty")
    assert run(monkeypatch, "segment", *scans, *arguments) == 2
    assert "a_entropy.nii.gz: is a scan, and a map of" in capsys.readouterr().err
    assert (tmp_path / "a_entropy.nii.gz").read_bytes() == phantom_scan.read_bytes()


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    phantom_scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    arguments = ("-o", tmp_path / "out", "--bundle", tiny_bundle, "--dry-run")
    assert run(monkeypatch, "segment", phantom_scan, *arguments) == 0
    printed = capsys.readouterr().out
    assert phantom_scan.name[:8] in printed
    assert "full" in printed
    assert "iB" in printed
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_warns_and_refuses_as_a_run_does(
    phantoms, tiny_bundle, tmp_path, monkeypatch, capsys
):
    image = nib.load(sorted((phantoms / "imagesTr").iterdir())[0])
    nib.save(image.slicer[:, :, 10:13], tmp_path / "thin.nii.gz")
    arguments = ("segment", tmp_path / "thin.nii.gz", "-o", tmp_path / "out", "--dry-run")
    assert run(monkeypatch, *arguments, "--bundle", tiny_bundle) == 0
    assert "warning: " in capsys.readouterr().err
    assert run(monkeypatch, *arguments, "--bundle", tiny_bundle, "--strict") == 1
    assert "(warnings are errors in strict mode)" in capsys.readouterr().err


def test_a_dry_run_goes_on_after_a_bad_scan(
    phantom_scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    (tmp_path / "bad.nii.gz").write_bytes(b"<html>")
    arguments = ("-o", tmp_path / "out", "--bundle", tiny_bundle, "--dry-run")
    assert run(monkeypatch, "segment", tmp_path / "bad.nii.gz", phantom_scan, *arguments) == 1
    printed = capsys.readouterr()
    assert f"error: {tmp_path / 'bad.nii.gz'}: a web page, not a scan" in printed.err
    assert "windows" in printed.out


def test_attention_never_replaces_a_scan(phantom_scan, tiny_bundle, tmp_path, monkeypatch, capsys):
    for name in ("a.nii.gz", "a_attention_0.nii.gz"):
        shutil.copy(phantom_scan, tmp_path / name)
    before = (tmp_path / "a_attention_0.nii.gz").read_bytes()
    arguments = ("-o", tmp_path, "--bundle", tiny_bundle, "--attention")
    assert run(monkeypatch, "segment", tmp_path, *arguments) == 2
    assert "a_attention_0.nii.gz: is a scan, and a map of" in capsys.readouterr().err
    assert (tmp_path / "a_attention_0.nii.gz").read_bytes() == before


def test_a_scan_that_takes_more_memory_than_allowed_is_refused_before_the_work(
    phantom_scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    arguments = ("-o", tmp_path / "out", "--bundle", tiny_bundle, "--memory", "50MiB")
    assert run(monkeypatch, "segment", phantom_scan, *arguments) == 1
    error = capsys.readouterr().err
    assert f"error: {phantom_scan}: takes " in error
    assert "(allowed: 50 MiB). Allow more with --memory " in error
    assert ", or crop the scan." in error
    assert names_in(tmp_path / "out") == SUMMARY


def test_an_interrupted_run_leaves_nothing_half_done(phantom_scan, tiny_bundle, tmp_path):
    """Ctrl-C while windows run."""
    script = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from monai_attn.inference.watched_network import WatchedNetwork
windows = []
run = WatchedNetwork.__call__
def interrupting(network, x):
    windows.append(x)
    if len(windows) == 2:
        os.kill(os.getpid(), signal.SIGINT)
    return run(network, x)
WatchedNetwork.__call__ = interrupting
sys.argv = ["monai-attn", "segment", {str(phantom_scan)!r}, "-o", {str(tmp_path / "out")!r},
            "--bundle", {str(tiny_bundle)!r}, "--backend", "eager"]
from monai_attn.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    said = "error: interrupted; complete files are kept, and --resume continues from them"
    assert done.stderr.splitlines()[-1] == said
    assert "Traceback" not in done.stderr
    assert names_in(tmp_path / "out") == SUMMARY


def test_code_of_a_bundle_that_is_named_by_its_path_is_noted(
    phantom_scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    arguments = ("segment", phantom_scan, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    run(monkeypatch, *arguments)
    note = f"note: {tiny_bundle}: a bundle's config can run code; only use bundles you trust"
    assert capsys.readouterr().err.splitlines()[0] == note


def test_a_good_scan_gives_no_warning(phantom_scan, tiny_bundle, tmp_path, monkeypatch, capsys):
    assert (
        run(monkeypatch, "segment", phantom_scan, "-o", tmp_path / "out", "--bundle", tiny_bundle)
        == 0
    )
    assert "warning" not in capsys.readouterr().err


def test_real_scans_keep_their_grid(real_scans, tiny_bundle, tmp_path, monkeypatch):
    scans = [real_scans / "ct_abdomen_contrast_5mm.nii.gz", real_scans / "ct_abdomen_3mm.nii.gz"]
    assert run(monkeypatch, "segment", *scans, "-o", tmp_path, "--bundle", tiny_bundle) == 0
    for scan in map(nib.load, scans):
        name = scan.get_filename().rsplit("/", 1)[1].replace(".nii.gz", "_seg.nii.gz")
        labels = nib.load(tmp_path / name)
        assert labels.shape == scan.shape
        np.testing.assert_array_equal(labels.affine, scan.affine)
        assert labels.get_data_dtype() == np.uint8


def test_an_output_that_cannot_be_is_refused_before_the_work(
    phantom_scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "out"
    assert run(monkeypatch, "segment", phantom_scan, "-o", target, "--bundle", tiny_bundle) == 2
    assert f"error: {target}: cannot be written to" in capsys.readouterr().err
