"""Hold a bundle to what MONAI's model zoo checks before it takes one in; print a line for each rule.

    python zoo.py BUNDLE DATA WORK [SCHEMA]

The rules follow the zoo's ci/verify_bundle.py, its unit tests of bundles (properties, training, evaluation
and inference on made-up data) and its guide for contributors. A rule is a function that raises.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow, ckpt_export, load, verify_metadata, verify_net_in_out

FILES = (
    *(f"configs/{name}.json" for name in ("metadata", "train", "evaluate", "inference")),
    *(
        "LICENSE",
        "configs/logging.conf",
        "docs/README.md",
        "docs/data_license.txt",
        "models/model.pt",
    ),
)
FIELDS = (
    "schema version changelog monai_version pytorch_version numpy_version required_packages_version task "
    "description authors copyright network_data_format"
)
SECTIONS = (
    "Model overview|Data|Training configuration|Memory|Input|Output|Performance|Commands|"
    "Limitations and intended use|References|License"
)
LIMIT = 25 * 2**20  # bytes of a file
PERSONAL = re.compile(r"/home/|/Users/|/root/|[A-Z]:\\\\")
SMALL: dict[str, Any] = {  # a training that ends soon
    **{"epochs": 1, "val_interval": 1, "batch_size": 1, "num_samples": 1, "num_workers": 0},
    "device": "$torch.device('cpu')",
}


class Zoo:
    """The rules, each for one bundle.

    Args:
        root: folder of the bundle.
        data: a data set with labelled cases.
        work: folder for what the rules write.
        schema: the file of the schema that the metadata names.
    """

    def __init__(self, root: Path, data: Path, work: Path, schema: Path | None) -> None:
        self.root, self.data, self.work, self.schema = root, data, work, schema
        self.metadata = json.loads(self.text("configs/metadata.json"))

    def text(self, name: str) -> str:
        """Read a file of the bundle."""
        return (self.root / name).read_text(encoding="utf-8")

    def workflow(self, kind: str, *names: str, **values: Any) -> ConfigWorkflow:
        """Open configs as the zoo's unit tests do."""
        workflow = ConfigWorkflow(
            workflow_type=kind,
            config_file=[str(self.root / "configs" / f"{name}.json") for name in names],
            meta_file=str(self.root / "configs" / "metadata.json"),
            logging_file=str(self.root / "configs" / "logging.conf"),
            bundle_root=str(self.root),
            **values,
        )
        workflow.initialize()
        return workflow

    def training(self, *overlays: str) -> ConfigWorkflow:
        """Open the training on the made-up data, writing into the work folder."""
        window = 64 if len(self.shape) == 3 else 96
        folders = {
            name: str(self.work / name)
            for name in ("ckpt_dir", "cache_dir", "log_dir", "output_dir")
        }
        size = [window, window, *([16] if len(self.shape) == 3 else [])]
        values = {**SMALL, **folders, "roi_size": size, "dataset_dir": str(self.data)}
        return self.workflow("train", "train", *overlays, **values)

    def inference(self) -> ConfigWorkflow:
        """Open the inference on one of the made-up images."""
        image = next((self.data / "imagesTr").iterdir())
        values = {"dataset_dir": str(image), "output_dir": str(self.work / "labels")}
        return self.workflow("infer", "inference", **values)

    @property
    def shape(self) -> list[int]:
        """The spatial shape of the network's input."""
        return list(self.metadata["network_data_format"]["inputs"]["image"]["spatial_shape"])

    def required_files(self) -> None:
        missing = [name for name in FILES if not (self.root / name).is_file()]
        require(not missing, f"missing: {missing}")

    def configs_are_json(self) -> None:
        others = [
            path.name
            for path in (self.root / "configs").iterdir()
            if path.suffix in (".yaml", ".yml")
        ]
        require(not others, f"not JSON: {others}")
        for path in (self.root / "configs").glob("*.json"):
            json.loads(path.read_text(encoding="utf-8"))

    def mandatory_fields(self) -> None:
        missing = set(FIELDS.split()) - set(self.metadata)
        require(not missing, f"missing: {missing}")

    def version_in_changelog(self) -> None:
        number = self.metadata["version"]
        require(re.fullmatch(r"\d+\.\d+\.\d+", number), f"version (={number!r})")
        require(number in self.metadata["changelog"], f"{number} is not in the changelog")

    def metadata_follows_the_schema(self) -> None:
        verify_metadata(str(self.root / "configs" / "metadata.json"), filepath=str(self.schema))

    def packages_are_installable(self) -> None:
        wanted = {
            **self.metadata["required_packages_version"],
            "monai": self.metadata["monai_version"],
            "torch": self.metadata["pytorch_version"],
            "numpy": self.metadata["numpy_version"],
        }
        found = {name: version(name).split("+")[0] for name in wanted}
        require(found == wanted, f"installed: {found}, named: {wanted}")

    def no_large_file(self) -> None:
        large = [
            path.name
            for path in self.root.rglob("*")
            if path.is_file() and path.stat().st_size > LIMIT
        ]
        require(not large, f"over 25 MB: {large}")

    def no_personal_path(self) -> None:
        texts = [
            path
            for path in self.root.rglob("*")
            if path.suffix in (".json", ".md", ".txt", ".conf")
        ]
        named = [path.name for path in texts if PERSONAL.search(path.read_text(encoding="utf-8"))]
        require(not named, f"personal paths in {named}")

    def data_folder_of_the_workspace(self) -> None:
        for name in ("train", "inference"):
            folder = json.loads(self.text(f"configs/{name}.json"))["dataset_dir"]
            require(folder.startswith("/workspace/data/"), f"{name}: dataset_dir (={folder!r})")

    def training_has_every_property(self) -> None:
        require(not (missing := self.training().check_properties()), f"missing: {missing}")

    def inference_has_every_property(self) -> None:
        require(not (missing := self.inference().check_properties()), f"missing: {missing}")

    def network_loads_its_weights(self) -> None:
        network = load(
            self.root.name, bundle_dir=self.root.parent, workflow_type="inference", device="cpu"
        )
        weights = torch.load(self.root / "models" / "model.pt", weights_only=True)
        state = network.state_dict()
        require(set(state) == set(weights), "other names of weights")
        require(
            all(
                torch.equal(state[name], part.float())
                for name, part in weights.items()
                if part.is_floating_point()
            ),
            "other weights",
        )

    def network_takes_and_gives_what_the_metadata_says(self) -> None:
        verify_net_in_out(net_id="network_def", device="cpu", **self.configs())

    def network_exports_to_torchscript(self) -> None:
        file, weights = self.work / "verify_model.ts", str(self.root / "models" / "model.pt")
        ckpt_export(net_id="network_def", filepath=str(file), ckpt_file=weights, **self.configs())
        channels = self.metadata["network_data_format"]["inputs"]["image"]["num_channels"]
        logits = torch.jit.load(str(file))(torch.rand(1, channels, *self.shape))
        require(logits.shape == (1, 2, *self.shape), f"logits of shape {tuple(logits.shape)}")

    def configs(self) -> dict[str, str]:
        """The arguments of the zoo's calls."""
        folder = self.root / "configs"
        return {
            "meta_file": str(folder / "metadata.json"),
            "config_file": str(folder / "inference.json"),
            "bundle_root": str(self.root),
        }

    def readme_has_every_section(self) -> None:
        found = re.findall(r"^## (.+)$", self.text("docs/README.md"), flags=re.MULTILINE)
        missing = set(SECTIONS.split("|")) - set(found)
        require(not missing, f"missing: {missing}")

    def licences_are_given(self) -> None:
        require("Apache License" in self.text("LICENSE"), "LICENSE is not Apache 2.0")
        require("licen" in self.text("docs/data_license.txt").lower(), "no licence of the data")

    def trains_and_evaluates(self) -> None:
        for overlays, written in (
            ((), "ckpt_dir/model.pt"),
            (("evaluate",), "output_dir/metrics.csv"),
        ):
            workflow = self.training(*overlays)
            workflow.run()
            workflow.finalize()
            require((self.work / written).is_file(), f"{written} was not written")

    def segments(self) -> None:
        workflow = self.inference()
        workflow.run()
        workflow.finalize()
        require([*(self.work / "labels").glob("*_seg.nii.gz")], "no labels were written")


def require(condition: Any, fault: str) -> None:
    """Raise with the fault unless the condition holds."""
    if not condition:
        raise ValueError(fault)


def rules(zoo: Zoo) -> list[Callable[[], None]]:
    """Return the rules in the order of the class; those that need a missing file are left out."""
    helpers = {"text", "workflow", "training", "inference", "shape", "configs"}
    names = [name for name in vars(Zoo) if not name.startswith("_") and name not in helpers]
    if zoo.schema is None:
        names.remove("metadata_follows_the_schema")
    return [getattr(zoo, name) for name in names]


def main() -> None:
    """Print a line for each rule, and how many hold; exit with 1 if one does not."""
    root, data, work, *schema = (Path(word).absolute() for word in sys.argv[1:])
    work.mkdir(parents=True, exist_ok=True)
    checked = rules(Zoo(root, data, work, schema[0] if schema else None))
    held = 0
    for rule in checked:
        name = rule.__name__.replace("_", " ")
        try:
            rule()
        except Exception as error:
            print(f"FAILED: {name}: {' '.join(str(error).split())}", flush=True)
        else:
            held += 1
            print(f"passed: {name}", flush=True)
    print(f"{held} of {len(checked)}")
    sys.exit(held < len(checked))


if __name__ == "__main__":
    main()
