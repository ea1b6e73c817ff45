"""The algorithm template for MONAI's AutoRunner: each fold is planned and trained by `monai-attn`."""

import json
import os
import subprocess
import sys
from pathlib import Path

from monai.apps.auto3dseg import BundleAlgo
from monai.bundle import ConfigParser

BUNDLE = (
    "pancreas_ct_attention_segmentation"  # the network and the recipe; its weights are not used
)


class AttentionunetAlgo(BundleAlgo):
    """Attention U-Net; the trained bundle is in `model/` of the algorithm's folder.

    Parameters for `AutoRunner.set_training_params`: `num_epochs`, `plan` (whether the window and the network
    are chosen for the data) and `settings`, a list of values of `train.json` such as `["batch_size=1"]`.
    """

    def pre_check_skip_algo(self, skip_bundlegen=False, skip_info=""):
        """Skip images of several channels."""
        channels = self._stats()["image_stats"]["channels"]["max"]
        return channels > 1, f"it takes one channel, and the images have {channels}."

    def fill_template_config(self, data_stats_filename, algo_path, **kwargs):
        """Write the fold, the labels and the modality to `configs/`, and the cases to `datalist.json`."""
        source = ConfigParser.load_config_file(self.data_list_file)
        modality = str(source["modality"]).upper()
        filled = {
            "fold": int(kwargs.get("fold", 0)),
            "labels": self._labels(source.get("class_names")),
            "channels": [] if modality == "CT" else [f"{modality}=zscore"],
        }
        root = Path(source["dataroot"]).absolute()
        listed = json.loads(Path(source["datalist"]).read_text())["training"]
        cases = [
            {**case, **{key: str(root / case[key]) for key in ("image", "label")}}
            for case in listed
        ]
        folder = Path(algo_path)
        (folder / "configs").mkdir(exist_ok=True)
        (folder / "datalist.json").write_text(json.dumps({"training": cases}, indent=2))
        file = folder / "configs" / "hyper_parameters.yaml"
        ConfigParser.export_config_file(filled, str(file), fmt="yaml")
        return {file.name: filled}

    def train(self, train_params=None, device_setting=None):
        """Plan and train the fold, with a process for each GPU."""
        self.device_setting.update(device_setting or {})
        params, folder = dict(train_params or {}), Path(self.output_path)
        filled = ConfigParser.load_config_file(folder / "configs" / "hyper_parameters.yaml")
        words = [f"--label={label}" for label in filled["labels"]]
        words += [f"--channel={channel}" for channel in filled["channels"]]
        cases, plan = folder / "datalist.json", folder / "plan.json"
        if params.get("plan", True):
            self._run("plan", cases, "-o", plan, *words)
            words += ["--plan", plan]
        if "num_epochs" in params:
            words += ["--epochs", params["num_epochs"]]
        words += [f"--set={setting}" for setting in params.get("settings", ())]
        words += ["--fold", filled["fold"], "--bundle", BUNDLE, "-o", folder / "model"]
        gpus = len(str(self.device_setting["CUDA_VISIBLE_DEVICES"]).split(","))
        return self._run("train", cases, *words, processes=gpus)

    def get_score(self, *args, **kwargs):
        """Return the mean Dice of the validation cases over all labels."""
        file = Path(self.output_path) / "model" / "eval" / "scores.json"
        means = json.loads(file.read_text())["mean"]
        dices = [scores["dice"] or 0.0 for scores in means.values()]
        return sum(dices) / len(dices)

    def _stats(self):
        return ConfigParser.load_config_file(self.data_stats_files)["stats_summary"]

    def _labels(self, names):
        """Return `VALUE=NAME` for each foreground value of the labels."""
        values = [int(value) for value in self._stats()["label_stats"]["labels"] if value]
        plain = names and len(names) == len(values) and all(isinstance(name, str) for name in names)
        names = names if plain else [f"label_{value}" for value in values]
        return [f"{value}={name}" for value, name in zip(values, names, strict=True)]

    def _run(self, *words, processes=1):
        """Run a command of `monai-attn`."""
        several = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        command = [sys.executable, *(several if processes > 1 else []), "-m", "monai_attn", *words]
        gpus = str(self.device_setting["CUDA_VISIBLE_DEVICES"])
        env = {**os.environ, **({"CUDA_VISIBLE_DEVICES": gpus} if gpus else {})}
        return subprocess.run([str(word) for word in command], env=env, check=True)
