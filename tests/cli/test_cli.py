"""The command line as its users meet it."""

import subprocess
import sys

import pytest

from command_line import run


def test_help_needs_no_torch():
    script = "import sys, monai_attn.cli; print('torch' in sys.modules, 'monai' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


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
