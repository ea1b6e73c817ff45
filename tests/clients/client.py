"""A client: an environment of its own with pinned packages, and checks that run its real programs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
import traceback
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
LIMIT = 1800  # seconds for one command, unless a check gives another


class CheckFailed(Exception):  # noqa: N818  a check that failed is a result
    """A check that did not hold; its text is shown in the table."""


@dataclass(frozen=True)
class Place:
    """Where the checks of a client run.

    Attributes:
        bin: folder with the programs of the client's environment.
        work: empty folder for what the checks write.
    """

    bin: Path
    work: Path

    def run(
        self,
        *command: object,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = LIMIT,
    ) -> str:
        """Run a program of the environment; return what it printed.

        Args:
            command: name of a program in `bin`, or `python`, and its arguments.
            cwd: folder to run it in; `work` by default.
            env: variables to add.
            timeout: seconds until it is killed.

        Raises:
            CheckFailed: if it fails or takes too long; with the path of its log.
        """
        program, *arguments = map(str, command)
        log = self.work / f"{Path(program).name}_{time.time_ns()}.log"
        with log.open("wb") as output:
            try:
                done = subprocess.run(
                    [str(self.bin / program), *arguments],
                    cwd=cwd or self.work,
                    env=self.environment(env),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=timeout,
                )
            except subprocess.TimeoutExpired as error:
                raise CheckFailed(f"{program}: killed after {timeout:.0f} s, see {log}") from error
        if done.returncode:
            raise CheckFailed(f"{program}: exit status {done.returncode}, see {log}")
        return log.read_text(encoding="utf-8", errors="replace")

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the variables of a process: the environment's programs first, and nothing of this one's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**kept, "PATH": f"{self.bin}{os.pathsep}{kept.get('PATH', '')}", **(extra or {})}


@dataclass(frozen=True)
class Client:
    """A program that uses a bundle.

    Attributes:
        name: name of its file of requirements, and of its environment's folder.
        title: its name and pinned version, as in the table.
        checks: functions that take a `Place`, return one line with figures and raise `CheckFailed`.
    """

    name: str
    title: str
    checks: tuple[Callable[[Place], str], ...]


@dataclass(frozen=True)
class Outcome:
    """What a check returned or raised."""

    client: str
    check: str
    passed: bool
    said: str
    seconds: float


def prepare(client: Client, folder: Path) -> Place:
    """Build the client's environment, unless it is there; return its place.

    Args:
        client: the client.
        folder: parent of all environments and working folders.

    Raises:
        CheckFailed: if its packages cannot be installed.
    """
    requirements = REQUIREMENTS / f"{client.name}.txt"
    content = requirements.read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    root = folder / client.name
    work = root / "work"
    work.mkdir(parents=True, exist_ok=True)
    place = Place(root / "env" / "bin", work)
    installed = root / "installed"
    if not installed.is_file() or installed.read_text(encoding="utf-8") != digest:
        venv.create(root / "env", with_pip=True, clear=True)
        words = ["--disable-pip-version-check", "install", "--quiet"]
        place.run("python", "-m", "pip", *words, "-r", requirements, cwd=ROOT)
        installed.write_text(digest, encoding="utf-8")
    return place


def run_checks(client: Client, folder: Path) -> Iterator[Outcome]:
    """Build the environment and run each check in an empty folder; yield the outcomes.

    A check that raises has failed, and those after it still run.
    """
    start = time.perf_counter()
    try:
        place = prepare(client, folder)
    except CheckFailed as error:
        yield Outcome(client.title, "environment", False, str(error), time.perf_counter() - start)
        return
    yield Outcome(client.title, "environment", True, "built", time.perf_counter() - start)
    for check in client.checks:
        start = time.perf_counter()
        work = place.work / check.__name__
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            passed, said = True, check(Place(place.bin, work))
        except CheckFailed as error:
            passed, said = False, str(error)
        except Exception as error:
            traceback.print_exc()
            passed, said = False, f"{type(error).__name__}: {error}"
        name = check.__name__.replace("_", " ")
        yield Outcome(client.title, name, passed, said, time.perf_counter() - start)
