"""The documentation is true: its snippets run, its commands and names exist."""

import doctest
import inspect
import json
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from doc_pages import DOCS, ROOT, rows, section
from monai_attn import AttentionUNet
from monai_attn.phantom import write_phantoms

BUNDLE = ROOT / "bundles" / "pancreas_ct_attention_segmentation"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
COMMAND_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("bundles/*/docs/README.md"))]
EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted(ROOT.glob("monai_attn/**/*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]
PACKAGES = [
    path.parent.name
    for path in sorted(ROOT.glob("monai_attn/*/__init__.py"))
    if path.parent.name not in ("api", "cli")
]
REFERENCE = {"bundle": "bundle-opening"}  # pages that are not named like their package
SHELLS = ("bash", "console")
LANGUAGES = ("python", "json", "text", *SHELLS)  # another one would escape the tests below


class Fence(NamedTuple):
    language: str
    line: int
    code: str


class Command(NamedTuple):
    page: str
    line: int
    words: list[str]

    def __str__(self):
        return f"{self.page}:{self.line}"


def fences(page):
    text = page.read_text(encoding="utf-8")
    return [
        Fence(found[1], text[: found.start(2)].count("\n") + 1, found[2])
        for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    ]


def commands(program):
    """The commands on all pages whose words begin with the program's."""
    found = []
    for page in COMMAND_PAGES:
        for fence in fences(page):
            if fence.language not in SHELLS:
                continue
            code = first_turn(fence.code.replace("\\\n", "  "))
            for number, line in enumerate(code.splitlines(), fence.line):
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words[: len(program)] == program:
                    name = page.relative_to(ROOT).as_posix()
                    found.append(Command(name, number, words[len(program) :]))
    return found


def first_turn(code):
    """Commands with the first value of each loop's variable in its place."""
    for name, value in re.findall(r"^for (\w+) in (\S+)", code, flags=re.MULTILINE):
        code = code.replace(f"${name}", value)
    return code


def named(cell):
    return re.findall(r"`([^`]+)`", cell)


# --- snippets


@pytest.mark.parametrize("page", COMMAND_PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_fence_is_closed_and_of_a_kind_that_is_tested(page):
    marks = re.findall(r"^\s*(?:```|~~~)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = fences(page)
    assert len(marks) == 2 * len(found)
    assert {fence.language for fence in found} <= set(LANGUAGES)


def files_of_the_tutorial():
    """What the commands before the tutorial's snippet leave, on a coarse grid and without a network."""
    write_phantoms("phantoms", 2, seed=0, shape=(40, 36, 20))
    Path("out").mkdir()
    for label in Path("phantoms/labelsTr").iterdir():
        label_map = Path("out") / label.name.replace(".nii.gz", "_seg.nii.gz")
        label_map.write_bytes(label.read_bytes())


PREPARE = {"first-segmentation.md": files_of_the_tutorial}
WITH_SNIPPETS = [
    page for page in PAGES if any(fence.language == "python" for fence in fences(page))
]


def test_there_are_snippets():
    assert {DOCS / "index.md", DOCS / "concepts" / "attention.md"} <= set(WITH_SNIPPETS)


@pytest.mark.filterwarnings("ignore:parsing config_file")  # a config is code: the page says so too
@pytest.mark.parametrize("page", WITH_SNIPPETS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_snippets_of_a_page_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PREPARE.get(page.name, lambda: None)()
    names = {"__name__": "docs"}
    for fence in fences(page):
        if fence.language == "python":
            code = "\n" * (fence.line - 1) + fence.code  # an error names the line of the page
            exec(compile(code, str(page), "exec"), names)


# --- commands


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_a_module_come_to_what_they_say(name):
    known = {"torch": torch, "np": np, "AttentionUNet": AttentionUNet}
    assert doctest.testmod(import_module(name), extraglobs=known).failed == 0


def test_there_are_commands():
    assert len(commands(["monai-attn"])) >= 4
    assert len(commands(["python", "-m", "monai.bundle"])) >= 4
    assert {words[0] for _, _, words in commands(["make"])} >= {"demo", "test", "lint", "docs"}


ATTN_RANKS = commands(["torchrun", "--nproc_per_node=2", "-m", "monai_attn"])


@pytest.mark.parametrize("command", [*commands(["monai-attn"]), *ATTN_RANKS], ids=str)
def test_monai_attn_takes_the_command(command):
    from typer.main import get_command

    from monai_attn.cli import app

    group = get_command(app)
    name, *arguments = command.words
    if name == "--help":
        return
    assert name in group.commands, f"no command {name}"
    group.commands[name].make_context(name, arguments)  # parses; runs nothing


BUNDLE_RUN = [
    *commands(["python", "-m", "monai.bundle"]),
    *commands(["torchrun", "--nproc_per_node=2", "-m", "monai.bundle"]),
]


@pytest.mark.parametrize("command", BUNDLE_RUN, ids=str)
def test_monai_bundle_takes_the_command(command):
    import monai.bundle.__main__ as entry

    name, *arguments = command.words
    function = getattr(entry, name)
    files = [
        BUNDLE / "configs" / file for file in re.findall(r"configs/([\w.]+)", " ".join(arguments))
    ]
    assert files, "a config is named"
    assert all(file.is_file() for file in files), files
    config = ConfigParser.load_config_files(files)
    for option in (word[2:].split("=")[0] for word in arguments if word.startswith("--")):
        assert option in inspect.signature(function).parameters or has(config, option), option


def test_torchrun_is_only_told_what_is_checked_above():
    bundle_ranks = len(BUNDLE_RUN) - len(commands(["python", "-m", "monai.bundle"]))
    assert len(commands(["torchrun"])) == bundle_ranks + len(ATTN_RANKS)


@pytest.mark.parametrize("command", commands(["make"]), ids=str)
def test_make_has_the_target(command):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, flags=re.MULTILINE))
    assert set(command.words) <= targets


# --- references


def has(config, path):
    """Whether a config has an id, such as `train#trainer`."""
    for key in path.split("#"):
        if not isinstance(config, dict) or key not in config:
            return False
        config = config[key]
    return True


@pytest.mark.parametrize(
    ("heading", "files"),
    [
        ("Ids of both train and inference", ["train.json", "inference.json"]),
        ("Ids of train", ["train.json"]),
        ("Ids of inference", ["inference.json"]),
        ("Metadata", ["metadata.json"]),
    ],
)
def test_the_ids_of_the_bundle_page_are_in_the_configs(heading, files):
    ids = [
        i for row in rows(section(DOCS / "reference" / "bundle.md", heading)) for i in named(row[0])
    ]
    assert len(ids) >= 4
    for file in files:
        config = ConfigParser.load_config_file(BUNDLE / "configs" / file)
        assert [i for i in ids if not has(config, i)] == []


def test_the_bundle_page_lists_every_config():
    listed = {row[0] for row in rows(section(DOCS / "reference" / "bundle.md", "Configs"))}
    assert listed == {f"`configs/{file.name}`" for file in (BUNDLE / "configs").iterdir()}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_reference_page_names_every_public_name_of_its_package(package):
    public = import_module(f"monai_attn.{package}").__all__
    page = DOCS / "reference" / f"{REFERENCE.get(package, package)}.md"
    said = re.search(
        rf"^Public names of `monai_attn\.{package}`:(.*?)\n\n",
        page.read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    assert said, page
    assert set(named(said[1])) == set(public)


@pytest.mark.parametrize(
    "page", sorted((DOCS / "reference").glob("*.md")), ids=lambda page: page.stem
)
def test_the_names_that_a_reference_page_selects_are_there(page):
    """A member that was renamed would vanish from the page, without an error."""
    selected = re.findall(
        r"^::: (monai_attn[\w.]+)\n(?:    .*\n)*?      members: \[(.*)\]$",
        page.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    for module, members in selected:
        missing = [name for name in members.split(", ") if not hasattr(import_module(module), name)]
        assert missing == [], module


def test_the_training_page_has_the_defaults_of_the_config():
    config = ConfigParser.load_config_file(BUNDLE / "configs" / "train.json")
    table = rows(section(DOCS / "how-to" / "train-on-your-data.md", "3. Train"))
    assert len(table) >= 6
    for cells, expected, *_ in table:
        values = [config[name] for name in named(cells)]
        in_config, on_page = (
            [float(number) for text in texts for number in re.findall(r"-?[\d.]+", text)]
            for texts in (map(json.dumps, values), [expected])
        )
        assert on_page == in_config, cells


def test_the_command_line_page_has_every_command_and_option_with_its_default():
    from typer.main import get_command

    from monai_attn.cli import app

    page = DOCS / "reference" / "cli.md"
    group = get_command(app)
    assert group.commands
    for name, command in group.commands.items():
        text = section(page, name)
        defaults = {option: row[1] for row in rows(text) for option in named(row[0])}
        for parameter in command.params:
            option = parameter.opts[0] if parameter.param_type_name == "option" else None
            if option is None:
                continue
            assert option in defaults, f"{name} {option}"
            if defaults[option] and not parameter.is_flag:
                assert defaults[option].split()[0].strip("`") == str(parameter.default)
