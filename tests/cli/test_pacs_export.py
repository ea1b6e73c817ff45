"""`monai-attn segment` on a folder as a PACS exports it."""

import pytest

from command_line import run
from dicoms import lps, series

LOCALIZER = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
REPORT = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22", "Modality": "SR"}
POSITIONS = lps(count=6)


@pytest.fixture
def export(tmp_path):
    """A patient with a localizer, two phases and a report; one with a broken series; one in a flat folder."""
    root = tmp_path / "export"
    for patient in ("P1", "P2", "P3"):
        (root / patient / "ST").mkdir(parents=True)

    def put(place, patient, number, positions=POSITIONS, **tags):
        uids = {
            "StudyInstanceUID": f"1.{patient[1]}",
            "SeriesInstanceUID": f"1.{patient[1]}.{number}",
        }
        names = [f"{number}_{slice_}" for slice_ in range(len(positions))]
        own = {"PatientID": f"ID-{patient}", "SeriesNumber": number, "SeriesDescription": "ven"}
        series(root / place, positions, names=names, **own | uids | tags)

    put("P1/ST/S1", "P1", 1, **LOCALIZER)
    put("P1/ST/S2", "P1", 2)
    put("P1/ST/S3", "P1", 3, ContrastBolusAgent="Iodine")
    put("P1/ST/S4", "P1", 4, **REPORT)
    put("P2/ST/S1", "P2", 1)
    put("P2/ST/S2", "P2", 2, POSITIONS[:2] + POSITIONS[3:])
    put("P3/ST", "P3", 1, **LOCALIZER)
    put("P3/ST", "P3", 2)
    return root


def labels(folder):
    return sorted(path.name for path in folder.glob("*.nii.gz"))


def test_each_patient_has_a_result_and_the_broken_series_a_line(
    export, tiny_bundle, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    assert run(monkeypatch, "segment", export, "-o", out, "--bundle", tiny_bundle, "--report") == 1
    said = capsys.readouterr().err
    assert labels(out) == ["P1_ST_S3_seg.nii.gz", "P2_ST_S1_seg.nii.gz", "P3_ST_seg.nii.gz"]
    assert f"error: {export}/P2/ST/S2: 1 slice missing" in said
    assert (
        "P1/ST/S3 (series 3, axial, 6 slices, 2.5 mm apart, contrast): chosen; left out: S1" in said
    )
    for file in (*out.glob("*.json"), *out.glob("*.csv"), *out.glob("*.html")):
        assert "DOE" not in file.read_text()
    assert "DOE" not in said


def test_the_user_chooses_series_and_names(export, tiny_bundle, tmp_path, monkeypatch, capsys):
    words = ("segment", export, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert run(monkeypatch, *words, "--series", "1.1.2", "--name", "{patient}_{description}") == 0
    assert labels(tmp_path / "out") == ["ID-P1_ven_seg.nii.gz"]
    assert run(monkeypatch, *words, "--series", "all", "--name", "{patient}") == 2
    assert "both are case ID-P1 (expected" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--series", "1.9") == 2
    assert "no series 1.9 (got 1.1.1, " in capsys.readouterr().err
    assert run(monkeypatch, *words, "--name", "{who}") == 2
    assert "error: name (='{who}') must be made of {patient}" in capsys.readouterr().err
