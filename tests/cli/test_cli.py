"""The command line as its users meet it."""

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


@pytest.fixture
def scan(phantoms):
    return sorted((phantoms / "imagesTr").iterdir())[0]


def test_help_needs_no_torch():
    script = "import sys, monai_attn.cli; print('torch' in sys.modules, 'monai' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


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


def test_segment_to_a_named_file(scan, tiny_bundle, tmp_path, monkeypatch):
    target = tmp_path / "labels.nii.gz"
    assert run(monkeypatch, "segment", scan, "-o", target, "--bundle", tiny_bundle) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.manifest.json", "labels.nii.gz"]


def test_a_manifest_says_how_labels_were_made(scan, tiny_bundle, tmp_path, monkeypatch):
    options = ("--bundle", tiny_bundle, "--mode", "full", "--backend", "eager")
    assert run(monkeypatch, "segment", scan, "-o", tmp_path, *options) == 0
    said = json.loads((tmp_path / scan.name.replace(".nii.gz", "_seg.manifest.json")).read_text())
    assert said["scan"] == str(scan)
    settings = said["settings"]
    assert (said["mode"], settings["mode"], settings["backend"]) == ("full", "full", "eager")
    assert settings["bundle"]["name"] == DEFAULT_BUNDLE
    assert len(settings["weights_sha256"]) == len(settings["bundle_sha256"]) == 64
    assert set(said["seconds"]) == {"read", "prepare", "plan", "network", "labels", "write"}


def test_where_the_locator_is_unsure_all_windows_run_and_a_warning_says_so(
    scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    """The tiny bundle has other weights than its locator was made for."""
    config = tiny_bundle / "configs" / "inference.json"
    content = json.loads(config.read_text())
    content["displayable_configs"]["focus"] = True
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    (bundle / "configs" / "inference.json").write_text(json.dumps(content))
    options = ("--bundle", bundle)
    assert run(monkeypatch, "segment", scan, "-o", tmp_path, *options) == 0
    said = json.loads((tmp_path / scan.name.replace(".nii.gz", "_seg.manifest.json")).read_text())
    assert said["mode"] == "full"
    assert said["fallback"].startswith("the locator")
    warned = [w for w in capsys.readouterr().err.splitlines() if w.startswith("warning: ")]
    assert warned == [f"warning: {scan}: full mode: {said['fallback']}"]
    assert run(monkeypatch, "segment", scan, "-o", tmp_path, *options, "--mode", "focus") == 2
    assert "the locator was not made for" in capsys.readouterr().err


def test_attention_lies_on_the_scans_grid(scan, tiny_bundle, tmp_path, monkeypatch):
    options = ("--bundle", tiny_bundle, "--attention")
    assert run(monkeypatch, "segment", scan, "-o", tmp_path / "with", *options) == 0
    assert run(monkeypatch, "segment", scan, "-o", tmp_path / "without", *options[:2]) == 0
    name = scan.name.replace(".nii.gz", "")
    attention = nib.load(tmp_path / "with" / f"{name}_attention_0.nii.gz")  # two levels, one gate
    assert attention.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(attention.affine, nib.load(scan).affine)
    values = attention.get_fdata()
    assert values.shape == nib.load(scan).shape
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
    scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    arguments = ("segment", scan, "-o", tmp_path, "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments, "--uncertainty", "--interval") == 0
    printed = capsys.readouterr().out
    name = scan.name.replace(".nii.gz", "")
    entropy = nib.load(tmp_path / f"{name}_entropy.nii.gz")
    np.testing.assert_array_equal(entropy.affine, nib.load(scan).affine)
    values = entropy.get_fdata()
    assert values.shape == nib.load(scan).shape
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


def test_an_entropy_map_never_replaces_a_scan(scan, tiny_bundle, tmp_path, monkeypatch, capsys):
    for name in ("a.nii.gz", "a_entropy.nii.gz"):
        shutil.copy(scan, tmp_path / name)
    scans = (tmp_path / "a.nii.gz", tmp_path / "a_entropy.nii.gz")
    arguments = ("-o", tmp_path, "--bundle", tiny_bundle, "--uncertainty")
    assert run(monkeypatch, "segment", *scans, *arguments) == 2
    assert "a_entropy.nii.gz: is a scan, and a map of" in capsys.readouterr().err
    assert (tmp_path / "a_entropy.nii.gz").read_bytes() == scan.read_bytes()


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    arguments = ("-o", tmp_path / "out", "--bundle", tiny_bundle, "--dry-run")
    assert run(monkeypatch, "segment", scan, *arguments) == 0
    printed = capsys.readouterr().out
    assert scan.name[:8] in printed
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


def test_a_dry_run_goes_on_after_a_bad_scan(scan, tiny_bundle, tmp_path, monkeypatch, capsys):
    (tmp_path / "bad.nii.gz").write_bytes(b"<html>")
    arguments = ("-o", tmp_path / "out", "--bundle", tiny_bundle, "--dry-run")
    assert run(monkeypatch, "segment", tmp_path / "bad.nii.gz", scan, *arguments) == 1
    printed = capsys.readouterr()
    assert f"error: {tmp_path / 'bad.nii.gz'}: a web page, not a scan" in printed.err
    assert "windows" in printed.out


def test_attention_never_replaces_a_scan(scan, tiny_bundle, tmp_path, monkeypatch, capsys):
    for name in ("a.nii.gz", "a_attention_0.nii.gz"):
        shutil.copy(scan, tmp_path / name)
    before = (tmp_path / "a_attention_0.nii.gz").read_bytes()
    arguments = ("-o", tmp_path, "--bundle", tiny_bundle, "--attention")
    assert run(monkeypatch, "segment", tmp_path, *arguments) == 2
    assert "a_attention_0.nii.gz: is a scan, and a map of" in capsys.readouterr().err
    assert (tmp_path / "a_attention_0.nii.gz").read_bytes() == before


def test_a_scan_that_takes_more_memory_than_allowed_is_refused_before_the_work(
    scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    arguments = ("-o", tmp_path / "out", "--bundle", tiny_bundle, "--memory", "50MiB")
    assert run(monkeypatch, "segment", scan, *arguments) == 1
    error = capsys.readouterr().err
    assert f"error: {scan}: takes " in error
    assert "(allowed: 50 MiB). Allow more with --memory " in error
    assert ", or crop the scan." in error
    assert names_in(tmp_path / "out") == SUMMARY


def test_an_interrupted_run_leaves_nothing_half_done(scan, tiny_bundle, tmp_path):
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
sys.argv = ["monai-attn", "segment", {str(scan)!r}, "-o", {str(tmp_path / "out")!r},
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
def test_what_a_user_can_mend_is_one_line(scan, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *[a.format(scan=scan) for a in arguments]) == 2
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
    scan, tmp_path, tiny_bundle, monkeypatch, capsys
):
    image = nib.load(scan)
    data = image.get_fdata(dtype=np.float32)
    data[0, 0, 0] = np.nan
    scan = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(data, image.affine), scan)
    assert run(monkeypatch, "segment", scan, "-o", tmp_path / "out", "--bundle", tiny_bundle) == 0
    warned = [w for w in capsys.readouterr().err.splitlines() if w.startswith("warning: ")]
    assert warned == [f"warning: {scan}: 1 voxel is NaN or infinite; set to -1024"]


def test_a_fault_of_the_program_is_one_line_too(scan, monkeypatch, capsys):
    def fault(*_, **__):
        raise KeyError("lost")

    monkeypatch.setattr("monai_attn.api.evaluate.evaluate_files", fault)
    assert run(monkeypatch, "evaluate", scan, scan) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "error: KeyError: 'lost' (a fault of this program; --debug shows where: please report it)"
    ]


def test_debug_shows_where_an_error_comes_from(scan, tmp_path):
    (tmp_path / "bad.nii").write_bytes(b"<html>")
    command = [sys.executable, "-m", "monai_attn.cli", "evaluate", tmp_path / "bad.nii", scan]
    for option, shown in (([], False), (["--debug"], True)):
        done = subprocess.run([*command, *option], capture_output=True, text=True)
        assert done.returncode == 2
        assert ("Traceback" in done.stderr) is shown
        assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/bad.nii: not a NIfTI")


def test_code_of_a_bundle_that_is_named_by_its_path_is_noted(
    scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    arguments = ("segment", scan, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    run(monkeypatch, *arguments)
    note = f"note: {tiny_bundle}: a bundle's config can run code; only use bundles you trust"
    assert capsys.readouterr().err.splitlines()[0] == note


def test_a_good_scan_gives_no_warning(scan, tiny_bundle, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "segment", scan, "-o", tmp_path / "out", "--bundle", tiny_bundle) == 0
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


def test_phantom_writes_a_data_set(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "monai_attn.phantom.write_phantoms",
        lambda folder, count, **options: (
            folder / f"{count}-{options['seed']}-{options['all_organs']}"
        ),
    )
    run(monkeypatch, "phantom", tmp_path, "-n", 3, "--seed", 5, "--all-organs")
    assert f"{tmp_path.name}/3-5-True" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.slow
def test_demo_makes_labels_scores_pictures_and_a_report(tmp_path, tiny_bundle, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "demo", "-n", 1, "--bundle", tiny_bundle) == 0
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == [
        "labels",
        "phantoms",
        "pictures",
        "report.html",
        "scores.json",
    ]
    (picture,) = (tmp_path / "demo" / "pictures").iterdir()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.name in capsys.readouterr().out.replace("\n", "")


def test_an_empty_path_is_refused(scan, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in (("segment", "", "-o", "out"), ("segment", scan, "-o", "")):
        assert run(monkeypatch, *arguments) == 2
        assert "an empty path" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_is_refused_before_the_work(
    scan, tiny_bundle, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "out"
    assert run(monkeypatch, "segment", scan, "-o", target, "--bundle", tiny_bundle) == 2
    assert f"error: {target}: cannot be written to" in capsys.readouterr().err
