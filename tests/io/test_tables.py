import csv
import json

import pytest

from monai_attn.io.tables import check_table_path, write_table

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


@pytest.mark.parametrize("call", [check_table_path, write])
def test_another_suffix_is_refused(tmp_path, call):
    with pytest.raises(
        ValueError, match=r"a\.nii\.gz: unknown suffix \(got '\.gz', expected '\.json' or '\.csv'\)"
    ):
        call(tmp_path / "a.nii.gz")


def test_a_folder_that_cannot_be_written_to_is_found_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file: cannot be written to"):
        check_table_path(tmp_path / "file" / "a.json")


@pytest.mark.parametrize(
    "content",
    [
        {"training": []},
        {"test": []},
        {"labels": {}, "numTraining": 3},
        [{"image": "a.nii"}],
    ],
)
def test_the_list_of_a_data_set_is_not_replaced(tmp_path, content):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"dataset\.json: lists the scans of a data set, so it is not"
    ):
        check_table_path(path)


@pytest.mark.parametrize("text", ["", "[1]", '{"cases": []}', "\0"])
def test_any_other_file_that_was_named_is(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    assert check_table_path(path) == path
