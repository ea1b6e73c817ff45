"""The command and the functions of monai.bundle, on a copy of each bundle."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.clients.client import ROOT, CheckFailed, Client, Place

BUNDLES = ("pancreas_ct_attention_segmentation", "pancreas_ct_attention_segmentation_2d")
SCHEMA = ROOT.parent / "shared" / "schema" / "meta_schema_20240725.json"
SCRIPTS = Path(__file__).parent / "scripts"
INPUTS = {BUNDLES[0]: "[1,1,112,112,32]", BUNDLES[1]: "[1,3,224,224]"}
WINDOWS = {BUNDLES[0]: "[64,64,16]", BUNDLES[1]: "[96,96]"}
META = ("--meta_file", "configs/metadata.json")
INFERENCE = ("--config_file", "configs/inference.json")
WEIGHTS = ("--ckpt_file", "models/model.pt")
SHORT = ("--epochs", 1, "--val_interval", 1, "--num_samples", 1, "--num_workers", 0)
PHANTOMS = (
    "import sys; from monai_attn.phantom import write_phantoms; "
    "write_phantoms(sys.argv[1], int(sys.argv[2]), shape=(112, 112, 32), spacing=(2.0, 2.0, 3.0))"
)


def copies(place: Place) -> Iterator[Path]:
    """Copy each bundle into the work folder; yield its folder."""
    for name in BUNDLES:
        leave_out = shutil.ignore_patterns("eval", "*.ts", "*.onnx")
        yield Path(shutil.copytree(ROOT / "bundles" / name, place.work / name, ignore=leave_out))


def phantoms(place: Place, count: int) -> Path:
    """Write small phantoms on which the shipped weights work."""
    place.run("python", "-c", PHANTOMS, place.work / "phantoms", count)
    return place.work / "phantoms"


def monai_bundle(place: Place, root: Path, *words: object, ranks: int = 0) -> str:
    """Run monai.bundle, or the same under torchrun, in a bundle's folder."""
    torchrun = ("torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}", "-m")
    command = ("python", "-m", *(torchrun if ranks else ()), "monai.bundle", *words)
    return place.run(*command, cwd=root, env={"OMP_NUM_THREADS": "1"})


def metadata_follows_the_schema_offline(place: Place) -> str:
    """Run verify_metadata with a schema that was downloaded before."""
    if not SCHEMA.is_file():
        return f"skipped: no schema at {SCHEMA}"
    for root in copies(place):
        printed = monai_bundle(place, root, "verify_metadata", *META, "--filepath", SCHEMA)
        expect("metadata is verified with no error" in printed, f"{root.name}: not verified")
    return f"{len(BUNDLES)} bundles"


def network_takes_and_gives_what_the_metadata_says(place: Place) -> str:
    """Run verify_net_in_out on both bundles."""
    for root in copies(place):
        words = ("verify_net_in_out", "--net_id", "network_def", *META, *INFERENCE)
        printed = monai_bundle(place, root, *words)
        expect("data shape of network is verified" in printed, f"{root.name}: shape not verified")
    return f"{len(BUNDLES)} bundles"


def exports_give_the_logits_of_the_network(place: Place) -> str:
    """Run ckpt_export and onnx_export, and compare their networks with the bundle's."""
    largest = 0.0
    for root in copies(place):
        net = ("--net_id", "network_def", *WEIGHTS, *META, *INFERENCE)
        monai_bundle(place, root, "ckpt_export", *net, "--filepath", "models/model.ts")
        shape = ("--use_trace", "True", "--input_shape", INPUTS[root.name])
        monai_bundle(place, root, "onnx_export", *net, *shape, "--filepath", "models/model.onnx")
        script = SCRIPTS / "compare_exports.py"
        largest = max(
            largest, float(place.run("python", script, root, INPUTS[root.name]).split()[-1])
        )
    expect(largest < 1e-3, f"logits differ by {largest:.2g}")
    return f"TorchScript and ONNX: logits differ by {largest:.1g} at most"


def a_new_bundle_can_be_made_of_its_network(place: Place) -> str:
    """Run init_bundle with the weights of each bundle."""
    for root in copies(place):
        made = place.work / f"made_{root.name}"
        weights = root / "models" / "model.pt"
        monai_bundle(place, root, "init_bundle", "--bundle_dir", made, *WEIGHTS)
        expect((made / "models" / "model.pt").read_bytes() == weights.read_bytes(), "other weights")
    return f"{len(BUNDLES)} bundles"


def opens_before_there_is_data_and_trains_in_one_process(place: Place) -> str:
    """Run load and create_workflow without data, and MonaiAlgo on weights that it returned."""
    data = phantoms(place, 3)
    for root in copies(place):
        script = SCRIPTS / "bundle_in_python.py"
        printed = place.run("python", script, root, data, WINDOWS[root.name])
        expect(printed.splitlines()[-1] == "all hold", f"{root.name}: {printed.splitlines()[-1]}")
    return f"{len(BUNDLES)} bundles: load, create_workflow, MonaiAlgo"


def run_and_run_workflow_write_the_same_labels(place: Place) -> str:
    """Run inference from the bundle's folder, and run_workflow from another one."""
    data = phantoms(place, 1)
    for root in copies(place):
        scan = next((data / "imagesTr").iterdir())
        monai_bundle(place, root, "run", *INFERENCE, "--dataset_dir", scan)
        configs = ("--config_file", root / "configs" / "inference.json")
        elsewhere = (
            "--bundle_root",
            root,
            "--dataset_dir",
            scan,
            "--output_dir",
            place.work / root.name / "b",
        )
        monai_bundle(
            place, place.work, "run_workflow", *configs, *elsewhere, "--workflow_type", "infer"
        )
        first, second = (
            next((root / name).glob("*_seg.nii.gz")).read_bytes() for name in ("eval", "b")
        )
        expect(first == second, f"{root.name}: other labels from another folder")
    return "equal bytes"


def ranks_without_a_case_of_their_own_train_and_do_not_hang(place: Place) -> str:
    """Train on two ranks with one validation case, and evaluate two cases and one."""
    data, said = phantoms(place, 3), []
    one = place.work / "one.json"
    files = {name: str(next((data / f"{name}sTr").iterdir())) for name in ("image", "label")}
    one.write_text(json.dumps({"training": [files]}), encoding="utf-8")
    for root in copies(place):
        size = ("--roi_size", WINDOWS[root.name])
        train = (
            "run",
            "--config_file",
            "['configs/train.json','configs/multi_gpu_train.json']",
            *size,
        )
        monai_bundle(
            place,
            root,
            *train,
            *SHORT,
            "--pretrained",
            "models/model.pt",
            "--dataset_dir",
            data,
            ranks=2,
        )
        configs = "['configs/train.json','configs/evaluate.json','configs/multi_gpu_evaluate.json']"
        evaluate = ("run", "--config_file", configs)
        monai_bundle(place, root, *evaluate, "--dataset_dir", data, ranks=2)
        said.append(f"{dice(root):.3f}")
        try:
            monai_bundle(place, root, *evaluate, "--dataset_dir", one, ranks=2)
        except CheckFailed as error:
            log = Path(str(error).split("see ")[1]).read_text(encoding="utf-8")
            expect("exit status 1" in str(error), str(error))
            expect("Start 1 with --nproc_per_node" in log, f"{root.name}: no remedy in {error}")
        else:
            raise CheckFailed(f"{root.name}: two ranks evaluated one case")
    return f"Dice {' and '.join(said)} after training on 2 ranks"


def dice(root: Path) -> float:
    """Return the mean Dice that an evaluation has written."""
    with (root / "eval" / "val_mean_dice_summary.csv").open(encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    return float(row["mean"])


def trains_with_mlflow(place: Place) -> str:
    """Train for an epoch with --tracking mlflow, which keeps its record in the bundle's folder."""
    data, counts = phantoms(place, 3), []
    for root in copies(place):
        words = ("run", "--config_file", "configs/train.json", "--tracking", "mlflow")
        size = ("--roi_size", WINDOWS[root.name], "--batch_size", 1)
        monai_bundle(place, root, *words, *SHORT, *size, "--dataset_dir", data)
        with closing(sqlite3.connect(root / "eval" / "mlruns.db")) as database:
            counts += database.execute("select count(*) from metrics").fetchone()
    expect(all(counts), f"metrics in the records: {counts}")
    return f"{' and '.join(map(str, counts))} metrics recorded"


def each_bundle_passes_the_checks_of_the_model_zoo(place: Place) -> str:
    """Run the rules of the zoo, see scripts/zoo.py."""
    data, held, of = phantoms(place, 3), 0, 0
    schema = [SCHEMA] if SCHEMA.is_file() else []
    for root in copies(place):
        work = place.work / f"work_{root.name}"
        printed = place.run("python", SCRIPTS / "zoo.py", root, data, work, *schema)
        counts = printed.splitlines()[-1].split(" of ")
        held, of = held + int(counts[0]), of + int(counts[1])
    expect(held == of, f"{held} of {of}")
    return f"{held} of {of}" + ("" if schema else f"; without the schema, which is not at {SCHEMA}")


def expect(condition: object, fault: str) -> None:
    """Fail the check with a fault, unless a condition holds."""
    if not condition:
        raise CheckFailed(fault)


CLIENT = Client(
    "bundle",
    "monai.bundle 1.6.1",
    (
        metadata_follows_the_schema_offline,
        network_takes_and_gives_what_the_metadata_says,
        exports_give_the_logits_of_the_network,
        a_new_bundle_can_be_made_of_its_network,
        opens_before_there_is_data_and_trains_in_one_process,
        run_and_run_workflow_write_the_same_labels,
        ranks_without_a_case_of_their_own_train_and_do_not_hang,
        trains_with_mlflow,
        each_bundle_passes_the_checks_of_the_model_zoo,
    ),
)
