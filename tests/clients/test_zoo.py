"""The rules of the zoo: each fails on a bundle that breaks it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.clients.client import ROOT
from tests.clients.scripts.zoo import Zoo, rules

SOURCE = ROOT / "bundles" / "pancreas_ct_attention_segmentation_2d"


@pytest.fixture
def root(tmp_path):
    return Path(shutil.copytree(SOURCE, tmp_path / "bundle", ignore=shutil.ignore_patterns("*.pt")))


def without(root, name):
    (root / name).unlink()


def edited(root, name, **values):
    path = root / name
    content = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps(content), encoding="utf-8")


def renamed(root, name, key, other):
    path = root / name
    path.write_text(path.read_text(encoding="utf-8").replace(f'"{key}"', f'"{other}"'))


def appended(root, name, text):
    with (root / name).open("a", encoding="utf-8") as file:
        file.write(text)


METADATA = "configs/metadata.json"
BROKEN = {
    "required_files": lambda root: without(root, "LICENSE"),
    "configs_are_json": lambda root: (root / "configs" / "more.yaml").touch(),
    "mandatory_fields": lambda root: renamed(root, METADATA, "task", "tasks"),
    "version_in_changelog": lambda root: edited(root, METADATA, version="9.9.9"),
    "packages_are_installable": lambda root: edited(root, METADATA, monai_version="1.0.0"),
    "no_large_file": lambda root: (root / "models" / "model.pt").write_bytes(bytes(26 * 2**20)),
    "no_personal_path": lambda root: appended(root, "docs/README.md", "/home/someone/data"),
    "data_folder_of_the_workspace": lambda root: edited(
        root, "configs/train.json", dataset_dir="/data"
    ),
    "readme_has_every_section": lambda root: (root / "docs" / "README.md").write_text("# A\n"),
    "licences_are_given": lambda root: (root / "LICENSE").write_text("All rights reserved\n"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_rule_fails_on_a_bundle_that_breaks_it(root, rule, tmp_path):
    (root / "models" / "model.pt").touch()
    getattr(Zoo(root, tmp_path, tmp_path, None), rule)()
    BROKEN[rule](root)
    with pytest.raises(ValueError, match=r"."):
        getattr(Zoo(root, tmp_path, tmp_path, None), rule)()


@pytest.mark.parametrize(("schema", "count"), [(Path("schema.json"), 18), (None, 17)])
def test_the_rules_are_counted(schema, count, tmp_path):
    zoo = Zoo(SOURCE, tmp_path, tmp_path, schema)
    assert len({rule.__name__ for rule in rules(zoo)}) == count
