"""A folder of scans, some of them broken: what becomes of each, and of a run that is cut off."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pydicom
import pytest

from command_line import names_in, run
from dicoms import series
from monai_attn.inference.segmentation import Segmentation
from monai_attn.io.dicom import headers
from monai_attn.io.dicom.headers import read_headers
from monai_attn.io.errors import ScanWarning
from monai_attn.io.scan import open_scan, read_volume
from monai_attn.phantom import abdominal_phantom, write_phantoms
from monai_attn.runs import case_files
from monai_attn.runs.batch import CaseResult, segment_files
from monai_attn.runs.summary import JSON
from scans import VALUES, save

BROKEN = {
    "cut.nii.gz": lambda raw: raw[: len(raw) // 2],
    "empty.nii.gz": lambda raw: b"",
    "page.nii.gz": lambda raw: b"<html>",
    "rotten.nii.gz": lambda raw: raw[:5000] + bytes([raw[5000] ^ 8]) + raw[5001:],
}


@pytest.fixture
def folder(phantoms, tmp_path):
    """Four sound scans, and some that are broken, among them ones that would not be read to their end."""
    scans = tmp_path / "scans"
    scans.mkdir()
    for scan in sorted((phantoms / "imagesTr").iterdir()):
        shutil.copy(scan, scans)
    raw = scan.read_bytes()
    for name, spoil in BROKEN.items():
        (scans / name).write_bytes(spoil(raw))
    (scans / "gone.nii.gz").symlink_to("nowhere")
    (scans / f"{'long' * 60}.nii.gz").write_bytes(raw)
    return scans


def statuses(out):
    return {row["case"]: row["status"] for row in json.loads((out / JSON).read_text())["cases"]}


def sound(folder):
    return sorted(path.name.removesuffix(".nii.gz") for path in folder.glob("phantom_*"))


def test_each_case_stands_for_itself(folder, tiny_bundle, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert run(monkeypatch, "segment", folder, "-o", out, "--bundle", tiny_bundle) == 1
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    broken = sorted(path for path in folder.iterdir() if not path.name.startswith("phantom"))
    assert len(errors) == len(broken) == 6
    for path, error in zip(broken, errors, strict=True):
        assert error.startswith(f"error: {path}: ") or "long" in path.name
        assert "; " in error
    assert "summary.csv: 6 failed, 4 segmented" in printed.out.replace("\n", "")
    assert statuses(out) == {
        **{path.name.removesuffix(".nii.gz"): "failed" for path in broken},
        **dict.fromkeys(sound(folder), "segmented"),
    }
    made = [
        name
        for case in sound(folder)
        for name in (f"{case}_seg.manifest.json", f"{case}_seg.nii.gz")
    ]
    assert names_in(out) == [*made, "summary.csv", "summary.json"]
    reasons = {row["case"]: row["reason"] for row in json.loads((out / JSON).read_text())["cases"]}
    assert "a web page, not a scan" in reasons["page"]
    assert reasons["long" * 60].endswith("rename the scan"), "before the work, not by the system"


def test_a_result_reaches_another_rank_whole():
    result = CaseResult(
        Path("a.nii.gz"),
        Path("out/a_seg.nii.gz"),
        {1: 70.5, 2: 3.0},
        warnings=("a: thin",),
        missing=("a: no DICOM SEG",),
        intervals_ml={1: (68.25, 72.75), 2: (0.0, 4.0)},
    )
    assert CaseResult.unpacked(result.packed()) == result


def test_a_pipe_is_no_scan_and_is_not_waited_for(tiny_bundle, tmp_path, monkeypatch, capsys):
    os.mkfifo(tmp_path / "a.nii.gz")
    arguments = ("-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert run(monkeypatch, "segment", tmp_path, *arguments) == 1
    assert "a.nii.gz: is a pipe, not a regular file; give" in capsys.readouterr().err


def test_resuming_keeps_what_is_whole_and_up_to_date(folder, tiny_bundle, tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = ("segment", folder, "-o", out, "--bundle", tiny_bundle)
    run(monkeypatch, *arguments)
    first, second, third, fourth = sound(folder)
    before = {path: path.read_bytes() for path in out.glob("*_seg.nii.gz")}
    (out / f"{first}_seg.nii.gz").write_bytes(b"harmed")
    (out / f"{second}_seg.manifest.json").unlink()
    shutil.copy(folder / f"{fourth}.nii.gz", folder / f"{third}.nii.gz")
    assert run(monkeypatch, *arguments, "--resume") == 1
    found = statuses(out)
    assert [found[case] for case in sound(folder)] == [*["segmented"] * 3, "kept"]
    for case in (first, second, fourth):
        path = out / f"{case}_seg.nii.gz"
        assert path.read_bytes() == before[path]
    run(monkeypatch, *arguments, "--resume")
    assert [statuses(out)[case] for case in sound(folder)] == ["kept"] * 4
    run(monkeypatch, *arguments, "--resume", "--attention")
    assert [statuses(out)[case] for case in sound(folder)] == ["segmented"] * 4
    run(monkeypatch, *arguments)
    assert [statuses(out)[case] for case in sound(folder)] == ["segmented"] * 4


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


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """A folder of two DICOM series, and the first as NIfTI."""
    folder = tmp_path_factory.mktemp("patients")
    phantom = abdominal_phantom(3, shape=(56, 48, 28), spacing=(7, 7, 7))
    stored = np.rint(phantom.image[::-1, ::-1].T).astype(np.int16) + 1024  # rows grow to the back
    for name in ("one", "two"):
        positions = [(-190, -160, 7 * k) for k in range(28)]
        series(folder / name, positions, stored, PixelSpacing=[7, 7])
    scan = read_volume(folder / "one")
    nib.save(nib.Nifti1Image(scan.data, scan.affine), folder.parent / "one.nii.gz")
    return folder


def test_a_dicom_series_is_segmented_as_its_nifti(patients, tiny_bundle, tmp_path, monkeypatch):
    arguments = ("-o", tmp_path, "--bundle", tiny_bundle)
    scan = patients.parent / "one.nii.gz"
    assert run(monkeypatch, "segment", patients / "one", *arguments, "--dicom-seg") == 0
    labels = nib.load(tmp_path / "one_seg.nii.gz")
    assert run(monkeypatch, "segment", scan, "-o", tmp_path / "nifti", *arguments[2:]) == 0
    same = nib.load(tmp_path / "nifti" / "one_seg.nii.gz")
    np.testing.assert_array_equal(labels.get_fdata(), same.get_fdata())
    np.testing.assert_allclose(labels.affine, same.affine)
    seg = pydicom.dcmread(tmp_path / "one_seg.dcm")
    assert seg.Modality == "SEG"
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["pancreas"]
    assert seg.pixel_array.sum() == labels.get_fdata().sum() > 0


def test_the_headers_of_a_series_are_read_once(patients, tiny_bundle, tmp_path, monkeypatch):
    """For the list of scans, the memory check, the checksum, the voxels and the DICOM SEG."""
    headers._headers_of.cache_clear()  # of other tests
    read = []

    def counted(folder, files):
        read.extend(files)
        return read_headers(folder, files)

    monkeypatch.setattr(headers, "read_headers", counted)
    arguments = ("-o", tmp_path, "--bundle", tiny_bundle, "--dicom-seg", "--resume")
    assert run(monkeypatch, "segment", patients / "one", *arguments) == 0
    assert len(read) == 28


def test_without_highdicom_nothing_is_begun(patients, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    arguments = ("segment", patients / "one", "-o", tmp_path / "out", "--dicom-seg")
    assert run(monkeypatch, *arguments) == 2
    assert 'pip install "monai-attn[dicom]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_labels_are_kept_if_there_can_be_no_dicom_seg(tiny_bundle, tmp_path, monkeypatch, capsys):
    series(tmp_path / "ct", change={2: {"StudyInstanceUID": None}})
    out = tmp_path / "out"
    arguments = ("segment", tmp_path / "ct", "-o", out, "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments, "--dicom-seg", "--report") == 1
    why = f"{tmp_path}/ct/2.dcm: StudyInstanceUID is missing. Export the series again, or anonymise it"
    (error,) = [w for w in capsys.readouterr().err.splitlines() if w.startswith("error: ")]
    assert error.startswith(f"error: {tmp_path}/ct: no DICOM SEG was written ({why}")
    files = ["ct_seg.manifest.json", "ct_seg.nii.gz", "report.html", "summary.csv", "summary.json"]
    assert names_in(out) == files
    (row,) = json.loads((out / JSON).read_text())["cases"]
    assert row["status"] == "incomplete"
    for text in (row["reason"], *((out / name).read_text() for name in files[2:])):
        assert why in text
    assert run(monkeypatch, *arguments, "--resume") == 0, "without the file that is missing"
    assert statuses(out) == {"ct": "kept"}


def test_a_name_of_a_patient_is_nowhere(tiny_bundle, tmp_path, monkeypatch, capfd):
    """Not in the words of a library either: highdicom doubts names without a caret, and shows them."""
    name = "Quagmire Zacharias"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of the malformed values that are written here
        tags = dict.fromkeys(("PatientName", "PatientBirthDate", "PatientSex", "StudyDate"), name)
        series(tmp_path / "ct", **tags)
        series(tmp_path / "gap", **tags, change={1: {"FrameOfReferenceUID": None}})
    capfd.readouterr()
    log, out = tmp_path / "log", tmp_path / "out"
    scans = (tmp_path / "ct", tmp_path / "gap")
    arguments = ("segment", *scans, "-o", out, "--bundle", tiny_bundle, "--dicom-seg", "--report")
    assert run(monkeypatch, "--verbose", "--log-file", log, *arguments) == 1
    assert statuses(out) == {"ct": "segmented", "gap": "incomplete"}
    assert pydicom.dcmread(out / "ct_seg.dcm").PatientName == name
    written = [path.read_text() for path in [log, *out.glob("*.json"), *out.glob("*.csv")]]
    written += [(out / "report.html").read_text(), *capfd.readouterr()]
    assert "ct: malformed PatientBirthDate, PatientSex, StudyDate" in "".join(written)
    assert not [text for text in written if "Zacharias" in text]


def test_a_slice_is_never_replaced_by_a_dicom_seg(tiny_bundle, tmp_path, monkeypatch, capsys):
    (first, *_) = series(tmp_path / "ct", names=["ct_seg.dcm", "b.dcm", "c.dcm"])
    before = first.read_bytes()
    arguments = ("segment", tmp_path / "ct", "-o", tmp_path / "ct", "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments, "--dicom-seg") == 1
    assert (
        "ct_seg.dcm: no DICOM SEG of a run, so it is not replaced. Move" in capsys.readouterr().err
    )
    assert first.read_bytes() == before


def test_a_folder_of_dicom_folders_is_a_batch(patients, tiny_bundle, tmp_path, monkeypatch):
    arguments = ("segment", patients, "-o", tmp_path, "--bundle", tiny_bundle)
    assert run(monkeypatch, *arguments) == 0
    assert statuses(tmp_path) == {"one": "segmented", "two": "segmented"}
    assert run(monkeypatch, *arguments, "--resume") == 0
    assert statuses(tmp_path) == {"one": "kept", "two": "kept"}
    for _ in range(2):  # it is made from labels that are kept
        assert run(monkeypatch, *arguments, "--resume", "--dicom-seg") == 0
        assert statuses(tmp_path) == {"one": "kept", "two": "kept"}
        assert pydicom.dcmread(tmp_path / "two_seg.dcm").pixel_array.any()
        (tmp_path / "two_seg.dcm").unlink()


def test_one_series_of_several_is_chosen(tiny_bundle, tmp_path, monkeypatch, capsys):
    series(tmp_path / "both", names=["a.dcm", "b.dcm", "c.dcm"])
    series(tmp_path / "both", names=["d.dcm", "e.dcm", "f.dcm"], SeriesInstanceUID="1.2.99")
    arguments = ("segment", tmp_path / "both", "--bundle", tiny_bundle, "-o")
    assert run(monkeypatch, *arguments, tmp_path / "out") == 0
    assert "chosen; left out: 1.2.99 (" in capsys.readouterr().err
    labels = tmp_path / "out" / "both_seg.nii.gz"
    before = labels.read_bytes()
    assert run(monkeypatch, *arguments, tmp_path / "out", "--series", "1.2.99") == 1
    assert "holds the labels of" in capsys.readouterr().err  # of the other series
    assert labels.read_bytes() == before
    assert run(monkeypatch, *arguments, tmp_path / "other", "--series", "1.2.99") == 0
    assert (tmp_path / "other" / "both_seg.nii.gz").is_file()


def test_a_nifti_scan_has_no_dicom_seg(phantoms, tiny_bundle, tmp_path, monkeypatch, capsys):
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    arguments = ("segment", scan, "-o", tmp_path, "--bundle", tiny_bundle, "--dicom-seg")
    assert run(monkeypatch, *arguments) == 1
    assert "no DICOM series, to which a DICOM SEG could refer. Leave" in capsys.readouterr().err


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


def test_labels_stay_in_the_output_folder(phantoms, tiny_bundle, tmp_path, monkeypatch):
    """Wherever the scans of a datalist lie, and whatever links lie in the folder."""
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    (tmp_path / "list").mkdir()
    shutil.copy(scan, tmp_path / "a.nii.gz")
    (tmp_path / "list" / "dataset.json").write_text(json.dumps({"test": ["../a.nii.gz"]}))
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_seg.nii.gz").symlink_to(tmp_path / "precious.nii.gz")
    (tmp_path / "precious.nii.gz").write_text("precious")
    assert run(monkeypatch, "segment", tmp_path / "list", "-o", out, "--bundle", tiny_bundle) == 0
    assert (tmp_path / "precious.nii.gz").read_text() == "precious"
    assert not (out / "a_seg.nii.gz").is_symlink()


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


def test_a_result_is_the_same_on_another_rank(tmp_path):
    odd = os.fsdecode(b"\xff.nii.gz")
    result = CaseResult(
        tmp_path / odd, tmp_path / "a_seg.nii", {1: 0.1}, "why", ("ä", odd), "", True
    )
    assert CaseResult.unpacked(result.packed()) == result


# --- several ranks

TWO_RANKS = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]


def begun(*arguments, ranks=(), **options):
    """`python -m monai_attn segment`, or the same under torchrun, on its way."""
    command = [sys.executable, "-m", *ranks, "monai_attn", "segment", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=pipe, text=True, **options
    )


def ended(process):
    """What a run printed: its table, and its messages without what torchrun adds."""
    printed, said = process.communicate(timeout=300)
    messages = [line for line in said.splitlines() if line.startswith(("error", "warn", "note"))]
    return printed, messages


def summary_of(out):
    """What a summary holds, without the times."""
    content = json.loads((out / JSON).read_text())
    assert content.pop("date")
    for row in content["cases"]:
        assert (row.pop("seconds") is None) == (row["status"] == "not run")
    return content


def assert_same_files(out, expected):
    assert names_in(out) == names_in(expected)
    for path in expected.glob("*.nii.gz"):
        assert (out / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_two_ranks_make_what_one_process_makes(folder, tiny_bundle, tmp_path):
    arguments = (folder, "-o", "out", "--bundle", tiny_bundle, "--backend", "eager")
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    alone = begun(*arguments, cwd=one)
    table, messages = ended(alone)
    ranks = begun(*arguments, cwd=two, ranks=TWO_RANKS)
    same, said = ended(ranks)
    assert same == table
    assert alone.returncode == ranks.returncode == 1
    assert "6 failed, 4 segmented" in table
    assert sorted(said) == sorted(messages)
    assert len(messages) == 7
    assert_same_files(two / "out", one / "out")
    assert summary_of(two / "out") == summary_of(one / "out")


@pytest.mark.slow
def test_what_no_rank_could_do_is_said_once(folder, tmp_path):
    scan = min(folder.glob("phantom_*"))
    process = begun(folder, scan, "-o", tmp_path / "out", ranks=TWO_RANKS)
    _, messages = ended(process)
    assert process.returncode == 1  # torchrun's, whatever a rank's
    (message,) = messages
    assert "listed twice" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_others_and_the_run_is_resumed(tiny_bundle, tmp_path):
    write_phantoms(tmp_path / "data", 8, seed=30, shape=(40, 34, 20), spacing=(10, 10, 10))
    scans, out = tmp_path / "data" / "imagesTr", tmp_path / "out"
    options = ("--bundle", tiny_bundle, "--backend", "eager")
    process = begun(scans, "-o", out, *options, ranks=TWO_RANKS)
    while process.poll() is None and len(list(out.glob("*.manifest.json"))) < 2:
        time.sleep(0.005)
    ranks = {int(p.environ()["RANK"]): p for p in psutil.Process(process.pid).children()}
    ranks[1].kill()
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert not any(p.is_running() for p in ranks.values())
    assert len(list(out.glob("*_seg.nii.gz"))) < 8, "it came to its end before it could be cut off"
    resumed = begun(scans, "-o", out, *options, "--resume", ranks=TWO_RANKS)
    ended(resumed)
    assert resumed.returncode == 0
    assert set(statuses(out).values()) == {"kept", "segmented"}


# --- cut off


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_cut_off_is_resumed_to_the_same_end(tiny_bundle, tmp_path, number):
    data = tmp_path / "data"
    write_phantoms(data, 8, seed=30, shape=(40, 34, 20), spacing=(10, 10, 10))
    scans = data / "imagesTr"
    (scans / "phantom_0033.nii.gz").write_bytes(b"<html>")
    options = ["--bundle", str(tiny_bundle), "--backend", "eager"]

    def command(out, *more):
        return [
            sys.executable,
            "-m",
            "monai_attn.cli",
            "segment",
            scans,
            "-o",
            out,
            *options,
            *more,
        ]

    whole = subprocess.run(command(tmp_path / "whole"), capture_output=True)
    assert whole.returncode == 1
    out, rng, codes = tmp_path / "out", random.Random(0), []
    for done in (1, 3, 5):
        process = subprocess.Popen(command(out, "--resume"), stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("*.manifest.json"))) < done:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(number)
        codes.append(process.wait())
        for path in out.glob("[!.]*_seg.nii.gz"):  # what is there is whole
            assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
        assert len(statuses(out)) == 8
    assert set(codes) <= {-number, 128 + number, 1}
    assert codes[0] != 1, "it came to its end before it could be cut off"
    assert subprocess.run(command(out, "--resume"), capture_output=True).returncode == 1
    assert sorted(path.name for path in out.glob("[!.]*")) == names_in(tmp_path / "whole")
    for path in (tmp_path / "whole").glob("*_seg.nii.gz"):
        assert (out / path.name).read_bytes() == path.read_bytes()
    counts = json.loads((out / JSON).read_text())["counts"]
    assert counts["failed"] == 1
    assert counts["kept"] >= 3


class Slow:
    """A segmenter whose labels are one number, and whose writing takes a while."""

    levels, uncertainty, probabilities, settings = (), False, False, {}

    open = staticmethod(open_scan)

    def __init__(self, label):
        self.label = label

    def __call__(self, opened, on_window):
        scan = opened.read()
        return Segmentation(scan.grid, np.full(scan.shape, self.label, np.uint8))


def test_two_runs_over_one_name_never_mix(tmp_path, monkeypatch):
    """The labels of one, with the manifest of the other, would be kept for ever."""
    written, turn = case_files.write_labels, threading.Event()

    def slow(path, labels, like):
        found = written(path, labels, like)
        if labels.max() == 1:
            turn.set()
            time.sleep(0.3)
        return found

    monkeypatch.setattr(case_files, "write_labels", slow)
    target = tmp_path / "out" / "a_seg.nii"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "a.nii", VALUES.astype(np.int16) * len(name))

    def segment(label, name):
        return list(segment_files(Slow(label), {tmp_path / name / "a.nii": target}))

    first = threading.Thread(target=segment, args=(1, "one"))
    first.start()
    assert turn.wait(10)
    (second,) = segment(2, "two")
    first.join()
    assert second.error == ""
    manifest = json.loads((tmp_path / "out" / "a_seg.manifest.json").read_text())
    assert manifest["scan"] == str(tmp_path / "two" / "a.nii")
    assert manifest["volumes_ml"].keys() == {"2"}
    assert (read_volume(target).data == 2).all()


@pytest.mark.slow
def test_two_runs_into_one_folder_do_not_harm_each_other(phantoms, tiny_bundle, tmp_path):
    scans = sorted((phantoms / "imagesTr").iterdir())
    options = ["--bundle", str(tiny_bundle), "--backend", "eager", "-o", str(tmp_path / "out")]
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "monai_attn.cli", "segment", *some, *options],
            stdout=subprocess.DEVNULL,
        )
        for some in (scans[:3], scans[1:])
    ]
    assert [process.wait() for process in runs] == [0, 0]
    assert sorted(statuses(tmp_path / "out").values()) == ["segmented"] * 4
    for scan in scans:
        name = scan.name.replace(".nii.gz", "_seg.nii.gz")
        assert nib.load(tmp_path / "out" / name).get_fdata().shape == nib.load(scan).shape
