"""MONAI Label: segment, train from the shipped weights and segment again, through its REST API."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import nibabel as nib
import numpy as np

from monai_attn.io.digests import file_sha256
from monai_attn.phantom import write_phantoms
from tests.clients.bundle import BUNDLES
from tests.clients.client import ROOT, CheckFailed, Client, Place

APP = "monaibundle"
CASES = ("phantom_3000", "phantom_3001", "phantom_3002")  # Label takes the last to validate
EPOCHS = 2
LIMIT = 1500  # seconds for a start, a training, a result
SITE = {"PYTHONPATH": str(Path(__file__).parent / "cpu_torchvision")}
FULL = "full mode: the locator was not made for"


class Server:
    """The REST API of a running MONAI Label."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, content: bytes | None = None, kind: str = "") -> bytes:
        """Return the answer to a GET, or with content to a POST.

        Raises:
            CheckFailed: if the server answers with an error.
        """
        headers = {"Content-Type": kind} if kind else {}
        request = urllib.request.Request(f"{self.url}{path}", content, headers)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise CheckFailed(f"{path}: status {error.code}: {error.read()[:300]!r}") from error

    def segment(self, model: str, image: str, folder: Path) -> np.ndarray:
        """Segment an image of the studies; return the labels."""
        form = urllib.parse.urlencode({"params": json.dumps({"device": "cpu"})}).encode()
        content = self.ask(
            f"/infer/{model}?image={image}&output=image", form, "application/x-www-form-urlencoded"
        )
        file = folder / "answer.nii.gz"
        file.write_bytes(content)
        return np.asarray(nib.load(file).dataobj)

    def train(self, model: str, **params: Any) -> None:
        """Train a model on the labelled images of the studies, and wait for it."""
        self.ask(f"/train/{model}", json.dumps(params).encode(), "application/json")
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            task = json.loads(self.ask("/train/"))
            if task["status"] not in ("SUBMITTED", "RUNNING"):
                break
            time.sleep(1)
        if task["status"] != "DONE":
            raise CheckFailed(f"{model}: training: {task['status']}: {' '.join(task['details'])}")

    def warnings(self) -> int:
        """Return how many results were logged as segmented with all windows."""
        return self.ask("/logs/?lines=100000&html=false").decode().count(FULL)


@contextmanager
def serving(place: Place, app: Path, studies: Path) -> Iterator[Server]:
    """Start a server as the how-to does, and stop it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    words = [
        "start_server",
        "--app",
        app,
        "--studies",
        studies,
        "--host",
        "127.0.0.1",
        "--port",
        port,
    ]
    for key, value in (("models", ",".join(BUNDLES)), ("zoo_source", "ngc"), ("sam2", "false")):
        words += ["--conf", key, value]
    command = [str(word) for word in (place.bin / "monailabel", *words)]
    server = Server(f"http://127.0.0.1:{port}")
    with (place.work / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=place.work,
            env=place.environment(SITE),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            end = time.monotonic() + LIMIT
            while not _answers(server):
                if process.poll() is not None or time.monotonic() > end:
                    raise CheckFailed(f"monailabel did not start, see {log.name}")
                time.sleep(1)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(server: Server) -> bool:
    try:
        server.ask("/info/")
    except (OSError, CheckFailed):
        return False
    return True


def dice(labels: np.ndarray, reference: np.ndarray) -> float:
    """Return the Dice of the foreground."""
    both = np.logical_and(labels, reference).sum()
    return float(2 * both / max(1, np.count_nonzero(labels) + np.count_nonzero(reference)))


def trains_from_the_shipped_weights_and_uses_the_result(place: Place) -> str:
    """Train both bundles: worse weights never replace the start, better ones are used at once."""
    place.run("monailabel", "apps", "--download", "--name", APP, "--output", place.work)
    models = place.work / APP / "model"
    for name in BUNDLES:
        shutil.copytree(ROOT / "bundles" / name, models / name)
    studies, references = _studies(place.work)
    said = []
    with serving(place, place.work / APP, studies) as server:
        offered = json.loads(server.ask("/info/"))
        for name in BUNDLES:
            for kind in ("models", "trainers"):
                files = offered[kind][name]["config"]["model_filename"]
                if files != ["model.pt"]:
                    raise CheckFailed(f"{name}: offers {files} as {kind}, expected model.pt only")
            said.append(_train(server, name, models / name, references, place.work))
    return "; ".join(said)


def _studies(work: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Write phantoms, cut to a box around the pancreas, as a folder of Label with final labels."""
    write_phantoms(
        work / "phantoms", len(CASES), seed=3000, shape=(72, 72, 28), spacing=(3.0, 3.0, 4.0)
    )
    studies = work / "studies"
    shutil.copytree(work / "phantoms" / "imagesTr", studies)
    shutil.copytree(work / "phantoms" / "labelsTr", studies / "labels" / "final")
    labels = {case: studies / "labels" / "final" / f"{case}.nii.gz" for case in CASES}
    return studies, {case: np.asarray(nib.load(file).dataobj) for case, file in labels.items()}


def _train(
    server: Server, model: str, root: Path, references: dict[str, np.ndarray], work: Path
) -> str:
    """Train a model in Label, and compare its results and its weights with those before."""
    weights = root / "models" / "model.pt"
    start, warned = file_sha256(weights), server.warnings()
    before = {case: server.segment(model, case, work) for case in references}
    if server.warnings() != warned:
        raise CheckFailed(f"{model}: warns of its locator before any training")
    server.train(model, device="cpu", max_epochs=EPOCHS, val_split=0.34)
    replaced = file_sha256(weights) != start
    after = {case: server.segment(model, case, work) for case in references}
    changed = sum(not np.array_equal(before[case], after[case]) for case in references)
    if bool(changed) != replaced:
        raise CheckFailed(f"{model}: {changed} results changed; weights replaced: {replaced}")
    has_locator = (root / "models" / "locator.pth").is_file()
    expected = len(references) if has_locator and replaced else 0
    if server.warnings() - warned != expected:
        raise CheckFailed(f"{model}: {server.warnings() - warned} warnings, expected {expected}")
    scores = [fmean(dice(found[c], references[c]) for c in references) for found in (before, after)]
    text = f"{model}: Dice {scores[0]:.4f}, after training {scores[1]:.4f}, replaced: {replaced}"
    if scores[1] < scores[0] - 0.01:
        raise CheckFailed(text)
    return text


CLIENT = Client(
    "label", "MONAI Label 0.8.5", (trains_from_the_shipped_weights_and_uses_the_result,)
)
