"""The one table of exact texts, as the terminal shows them; elsewhere tests go by type, file and value."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from command_line import run
from monai_attn.cli.segment_results import counts_of, print_fallbacks, print_messages
from monai_attn.reporting.preview import PREVIEW
from monai_attn.runs.batch import CaseResult
from scans import AFFINE, NNUNET, datalist, save

CT = np.linspace(-1000, 1000, 16 * 15 * 14).reshape(16, 15, 14).astype(np.int16)
SEGMENT = ("segment", "scan.nii.gz", "-o", "out", "--dry-run")
TRAIN = ("train", "DATA", "-o", "run")
ORGAN = (CT > 900).astype(np.uint8)


def cut(path):
    save(path, CT, AFFINE)
    path.write_bytes(path.read_bytes()[:-20])


def page(path):
    path.write_bytes(b"<!DOCTYPE html><html>sign in</html>")


def phases(path):
    save(path, np.stack([CT, CT], -1), AFFINE)


def micrometres(path):
    nib.Nifti1Image(CT, np.diag([0.02, 2, 2, 1])).to_filename(path)


def sound(path):
    save(path, CT, AFFINE)


# what lies at scan.nii.gz, further options, what segment says
SCANS = {
    "nothing": (lambda path: None, (), "scan.nii.gz: does not exist; check the path"),
    "an incomplete copy": (
        cut,
        (),
        "scan.nii.gz: cannot be read to its end (Compressed file ended before the end-of-stream "
        "marker was reached); copy it again",
    ),
    "a web page": (page, (), "scan.nii.gz: a web page, not a scan; download it again, signed in"),
    "two phases": (
        phases,
        (),
        "scan.nii.gz: 4 dimensions, (16, 15, 14, 2); one volume expected. Choose one with "
        "--volume N, N from 0 to 1, or extract it.",
    ),
    "another unit": (
        micrometres,
        (),
        "scan.nii.gz: spacing 0.02 x 2 x 2 mm (expected 0.05 to 20); are the units wrong? export "
        "it again in mm",
    ),
    "an option for four dimensions": (
        sound,
        ("--volume", "3"),
        "scan.nii.gz: no --volume 3 (expected 0 to 0). Choose another --volume.",
    ),
    "an option for DICOM": (
        sound,
        ("--series", "1.2"),
        "scan.nii.gz: is a NIfTI file, which has no --series to choose. Leave out --series.",
    ),
    "a doubt that counts": (
        sound,
        ("--strict",),
        "scan.nii.gz: only 16 voxels (32 mm) left-right, 15 voxels (15 mm) front-back: a thin "
        "volume, so labels may be wrong; give more of the body (warnings are errors in strict "
        "mode)",
    ),
    "a scan in the way": (
        sound,
        ("-o", "scan.nii.gz"),
        "scan.nii.gz: a scan, and the labels of scan.nii.gz would replace it; a new file "
        "expected: choose another output",
    ),
    "no bundle": (
        sound,
        ("--bundle", "gone"),
        "gone: no bundle there (configs/inference.json is missing); name a bundle's folder or one"
        " of ['pancreas_ct_attention_segmentation', 'pancreas_ct_attention_segmentation_2d']",
    ),
    "no such mode": (sound, ("--mode", "near"), "mode (='near') must be full or focus"),
}


def labelled(folder, **said):
    """A data set of nnU-Net of two cases, and what its dataset.json says."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for name in ("a", "b"):
        save(folder / "imagesTr" / f"{name}_0000.nii.gz", CT, AFFINE)
        save(folder / "labelsTr" / f"{name}.nii.gz", ORGAN, AFFINE)
    datalist(folder, NNUNET | said)


def empty(folder):
    folder.mkdir()


def unlabelled(folder):
    labelled(folder)
    (folder / "labelsTr" / "b.nii.gz").unlink()


def shifted(folder):
    labelled(folder)
    save(folder / "labelsTr" / "b.nii.gz", ORGAN[1:], AFFINE)


def halved(folder):
    labelled(folder)
    save(folder / "labelsTr" / "b.nii.gz", ORGAN * np.float32(0.5), AFFINE)


def ignored(folder):
    labelled(folder, labels={"background": 0, "pancreas": 1, "ignore": 1})


# what lies in DATA, further options, what train says
DATA = {
    "nothing": (
        empty,
        (),
        "DATA: no data set (expected a dataset.json, or the folders imagesTr and labelsTr, or "
        "images and labels). Give the folder that holds them.",
    ),
    "an image alone": (
        unlabelled,
        (),
        "DATA/imagesTr/b_0000.nii.gz: has no label (expected DATA/labelsTr/b.nii.gz). Add it, or "
        "remove the image.",
    ),
    "labels elsewhere": (
        shifted,
        (),
        "DATA/labelsTr/b.nii.gz: is not on the grid of DATA/imagesTr/b_0000.nii.gz. Resample the "
        "labels to it, by nearest neighbour.",
    ),
    "half a label": (
        halved,
        (),
        "DATA/labelsTr/b.nii.gz: value 0.5 at voxel (15, 3, 1) is not a label (expected whole "
        "numbers from 0 to 16777215); save a label map, not an image or probabilities",
    ),
    "a class that is ignored": (
        ignored,
        (),
        "DATA: the ignore value 1 is also 'pancreas' (expected a value of its own). Correct dataset.json.",
    ),
    "a setting of nothing": (
        labelled,
        ("--set", "nothing=1"),
        "nothing: the bundle's configs have no such id. Look in train.json.",
    ),
    "folds without a fold": (
        labelled,
        ("--folds", "2"),
        "DATA: 2 folds, but none is chosen for validation. Choose a fold from 0 to 1.",
    ),
    "no such gate": (
        labelled,
        ("--gate", "strong"),
        "--gate strong: soft, none, hard, reinforce expected",
    ),
    "nothing to resume": (
        labelled,
        ("--resume",),
        "run: no training to resume (no complete run.json). Empty the folder, and begin a new training.",
    ),
}

# arguments, what the terminal says
OTHERS = {
    "no reference": (
        ("evaluate", "DATA/labelsTr/a.nii.gz", "gone.nii.gz"),
        "gone.nii.gz: no such file or folder (expected a NIfTI label map or a folder of them). "
        "Check the path.",
    ),
    "a scan for labels": (
        ("evaluate", "DATA/labelsTr/a.nii.gz", "DATA/imagesTr/a_0000.nii.gz"),
        "DATA/imagesTr/a_0000.nii.gz: value -1000.0 at voxel (0, 0, 0) is not a label (expected "
        "whole numbers from 0 to 16777215); save a label map, not an image or probabilities",
    ),
    "no run": (
        ("report", "DATA"),
        "DATA: nothing was segmented into it (summary.json and manifests are missing); give the "
        "folder that segment wrote to",
    ),
    "no scores": (
        ("compare", "DATA", "DATA/labelsTr"),
        "DATA: neither scores.json nor eval/scores.json in it (expected the scores of a run). "
        "Evaluate the run, and write its scores to DATA/scores.json.",
    ),
    "a folder without scans": (
        ("segment", "void", "-o", "out"),
        "void: no scan among 0 entries (expected files in NIfTI, NRRD, MetaImage or MGZ, or a DICOM "
        "series). Give "
        "the folder that holds them.",
    ),
    "quiet and verbose": (
        ("--quiet", "--verbose", "doctor"),
        "--quiet and --verbose: they exclude each other. Leave one out.",
    ),
}

SPECK = "pancreas 0.7 ml in 3 pieces, expected 35 to 320 ml"
UNSURE = "the locator found nothing"

# what a result has, the report of the run, whether there is a preview, what segment says
RESULTS = {
    "as expected": ({}, None, False, []),
    "to check, with a report": (
        {"check": SPECK},
        "out/report.html",
        True,
        [f"check: a.nii.gz: {SPECK}; look at out/report.html"],
    ),
    "to check, with a preview": (
        {"check": SPECK},
        None,
        True,
        [f"check: a.nii.gz: {SPECK}; look at out/a_preview.png"],
    ),
    "to check, with neither": (
        {"check": SPECK},
        None,
        False,
        [f"check: a.nii.gz: {SPECK}; to look at it, run: monai-attn report out"],
    ),
    "empty": (
        {"volumes_ml": {}},
        "out/report.html",
        False,
        ["note: a.nii.gz: nothing was found; look at out/report.html"],
    ),
    "failed, with a remedy": (
        {"error": "a.nii.gz: 4 dimensions. Choose one with volume=N.", "remedy": "volume=N"},
        "out/report.html",
        False,
        ["error: a.nii.gz: 4 dimensions. Choose one with --volume N."],
    ),
}

# why each scan ran in full mode, what segment says once
FALLBACKS = {
    "none": (["", ""], []),
    "one": (["", UNSURE], [f"warning: 1.nii.gz: full mode: {UNSURE}"]),
    "all for one reason": ([UNSURE] * 3, [f"warning: 3 of 3 scans: full mode: {UNSURE}"]),
    "for two reasons": (
        [UNSURE, UNSURE, "", "the locator's volume of 9 ml is not within 20 to 300 ml"],
        [
            f"warning: 3 of 4 scans: full mode: {UNSURE} (2 scans; the column reason of the summary "
            "names all)"
        ],
    ),
}


def lines(folder, monkeypatch, capsys, *arguments):
    """What a command says, in a folder whose own path is left out."""
    monkeypatch.chdir(folder)
    assert run(monkeypatch, *arguments) in (1, 2)
    return capsys.readouterr().err.replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize(("write", "options", "said"), SCANS.values(), ids=SCANS.keys())
def test_of_a_scan(write, options, said, tmp_path, monkeypatch, capsys):
    write(tmp_path / "scan.nii.gz")
    assert lines(tmp_path, monkeypatch, capsys, *SEGMENT, *options) == [f"error: {said}"]


@pytest.mark.parametrize(("write", "options", "said"), DATA.values(), ids=DATA.keys())
def test_of_a_data_set(write, options, said, tmp_path, monkeypatch, capsys):
    write(tmp_path / "DATA")
    assert lines(tmp_path, monkeypatch, capsys, *TRAIN, *options) == [f"error: {said}"]


@pytest.mark.parametrize(("arguments", "said"), OTHERS.values(), ids=OTHERS.keys())
def test_of_other_arguments(arguments, said, tmp_path, monkeypatch, capsys):
    labelled(tmp_path / "DATA")
    (tmp_path / "void").mkdir()
    assert lines(tmp_path, monkeypatch, capsys, *arguments) == [f"error: {said}"]


@pytest.mark.parametrize(
    ("fields", "page", "preview", "said"), RESULTS.values(), ids=RESULTS.keys()
)
def test_of_a_result(fields, page, preview, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    target = Path("out", "a_seg.nii.gz")
    target.parent.mkdir()
    if preview:
        PREVIEW.path(target).touch()
    result = CaseResult(Path("a.nii.gz"), target, **{"volumes_ml": {1: 80.0}} | fields)
    print_messages(result, page and Path(page), [PREVIEW])
    assert capsys.readouterr().err.splitlines() == said


@pytest.mark.parametrize(("reasons", "said"), FALLBACKS.values(), ids=FALLBACKS.keys())
def test_of_a_locator_once_a_run(reasons, said, capsys):
    print_fallbacks(
        [
            CaseResult(Path(f"{i}.nii.gz"), Path("seg.nii.gz"), fallback=reason)
            for i, reason in enumerate(reasons)
        ]
    )
    assert capsys.readouterr().err.splitlines() == said


def test_of_the_counts():
    path = Path("seg.nii.gz")
    results = [
        CaseResult(path, path, error="broken"),
        CaseResult(path, path, check=SPECK),
        CaseResult(path, path),
        CaseResult(path, path, kept=True),
    ]
    assert counts_of(results) == "1 segmented, 1 kept, 1 to check, 1 failed"
