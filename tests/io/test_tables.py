import csv
import json

import pytest

from monai_attn.io.tables import check_table_path, write_table
from scans import fails

COLUMNS = ("case", "mm", "ml")
ROWS = [{"case": "a", "mm": 1.5}, {"case": "b,c", "mm": None}]


def write(path, rows=ROWS):
    return write_table(path, {"rows": rows}, ["case", "mm"], rows)


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_json_holds_the_content(tmp_path):
    assert json.loads(write(tmp_path / "new" / "a.json").read_text()) == {"rows": ROWS}


def test_csv_holds_the_rows_and_an_empty_cell_for_none(tmp_path):
    rows = read_csv(write(tmp_path / "a.CSV"))
    assert rows == [{"case": "a", "mm": "1.5"}, {"case": "b,c", "mm": ""}]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t"])
def test_no_text_is_a_formula_to_a_spreadsheet(tmp_path, begin):
    (row,) = read_csv(write(tmp_path / "a.csv", [{"case": f"{begin}1+2", "mm": -1.5}]))
    assert row == {"case": f"'{begin}1+2", "mm": "-1.5"}  # a number may begin with a minus


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_a_name_that_is_no_utf8_is_written_as_far_as_it_is(tmp_path, name):
    assert b"\\udcff" in write(tmp_path / name, [{"case": "a\udcff", "mm": 1}]).read_bytes()


def test_no_nan_gets_into_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "a.json", [{"case": "a", "mm": float("nan")}])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", [lambda path: check_table_path(path, ["rows"]), write])
def test_another_suffix_is_refused(tmp_path, call):
    with pytest.raises(
        ValueError, match=r"a\.nii\.gz: unknown suffix \(got '\.gz', expected '\.json' or '\.csv'\)"
    ):
        call(tmp_path / "a.nii.gz")


def test_a_folder_that_cannot_be_written_to_is_found_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file: cannot be written to"):
        check_table_path(tmp_path / "file" / "a.json", ["rows"])


OTHERS = {
    "a.json": ['{"training": []}', '[{"image": "a.nii"}]', "[1]", '{"cases": []}', "\0"],
    "a.csv": ["case,scan,status\n", "case,mm", "\0"],
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name in OTHERS for text in OTHERS[name]]
)
def test_a_file_that_is_no_such_table_is_not_replaced(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    fails(f"{path}: was not written by this command", check_table_path, path, ["rows"], COLUMNS)


@pytest.mark.parametrize("name", OTHERS)
def test_an_earlier_table_and_an_empty_file_are(tmp_path, name):
    path = tmp_path / name
    path.touch()
    assert check_table_path(path, ["rows"], COLUMNS) == path
    write_table(path, {"rows": []}, COLUMNS, [])
    assert check_table_path(path, ["rows"], COLUMNS) == path


def test_a_table_without_columns_replaces_no_csv(tmp_path):
    (tmp_path / "a.csv").write_text("a,b")
    fails("was not written by this command", check_table_path, tmp_path / "a.csv", ["rows"])
