"""Scores other servers with the kit: ``python -m tests.conformance.peers`` prints a table for docs/serving.md.

Each peer serves the same scikit-learn forest from an environment of its own, which is made on the first run and kept in
``$AURORA_CACHE/conformance``. Each is set up as its manual says; MLServer is also told inputs and outputs, which it
cannot know. BentoML speaks another protocol and is not here.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import sklearn
from sklearn.ensemble import RandomForestRegressor

from tests.conformance.checks import Group
from tests.conformance.kit import line, run, scores
from tests.conformance.target import Example, Failed, Target

FEATURES: Final = 8
START_SECONDS: Final = 120
CACHE: Final = Path(os.environ.get("AURORA_CACHE", Path.home() / ".cache/aurora")) / "conformance"
KSERVE_SERVER: Final = """
import argparse, joblib, uvicorn
from kserve import Model, ModelServer, model_server
from kserve.utils.utils import get_predict_input, get_predict_response
begin = uvicorn.Config.__init__
uvicorn.Config.__init__ = lambda self, *given, **named: begin(self, *given, **{**named, "host": "127.0.0.1"})
class Forest(Model):
    def load(self):
        self.model, self.ready = joblib.load("model.joblib"), True
        return True
    def predict(self, payload, headers=None):
        return get_predict_response(payload, self.model.predict(get_predict_input(payload)), self.name)
if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser])
    parser.parse_known_args()
    forest = Forest("forest")
    forest.load()
    ModelServer(enable_grpc=False).start([forest])
"""
"""KServe's scikit-learn server is not on PyPI; this is what its predict does."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A server: what to install, which files it wants, and how it starts."""

    name: str
    requirements: tuple[str, ...]
    files: Mapping[str, Any]
    command: tuple[str, ...]
    port: int


MLSERVER: Final = Peer(
    name="MLServer 1.7.1",
    requirements=("mlserver==1.7.1", "mlserver-sklearn==1.7.1", "uvloop<0.22"),
    files={
        "settings.json": {
            "host": "127.0.0.1", "http_port": 18081, "grpc_port": 18082, "metrics_port": 18083, "debug": False
        },
        "forest/model-settings.json": {
            "name": "forest",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "platform": "sklearn",
            "versions": ["1"],
            "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, FEATURES]}],
            "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1, 1]}],
            "parameters": {"uri": "../model.joblib", "version": "1"},
        },
    },
    command=("bin/mlserver", "start", "."),
    port=18081,
)  # fmt: skip
KSERVE: Final = Peer(
    name="KServe 0.21.0",
    requirements=("kserve==0.21.0", "joblib"),
    files={"server.py": KSERVE_SERVER},
    command=("bin/python", "server.py", "--http_port", "18091"),
    port=18091,
)


def an_example(folder: Path) -> Example:
    """Trains the forest into ``folder`` and gives rows with its predictions."""
    rows = np.random.default_rng(7).normal(size=(400, FEATURES))
    forest = RandomForestRegressor(n_estimators=10, random_state=7).fit(rows, rows @ np.arange(FEATURES))
    joblib.dump(forest, folder / "model.joblib")
    return Example(tensor="input", rows=rows[:5].tolist(), predictions=forest.predict(rows[:5]).tolist())


def environment(peer: Peer) -> Path:
    """A virtual environment with the peer in it; made when it is not there."""
    folder = CACHE / f"venv-{peer.name.partition(' ')[0].lower()}"
    if not (folder / ".complete").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        wanted = [*peer.requirements, f"scikit-learn=={sklearn.__version__}"]
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "-q", *wanted], check=True)
        (folder / ".complete").touch()
    return folder


@contextmanager
def started(peer: Peer, example: Example, folder: Path) -> Iterator[Target]:
    """A ready server of the model in ``folder``."""
    for name, content in peer.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    program, *arguments = peer.command
    target = Target(url=f"http://127.0.0.1:{peer.port}", model="forest", example=example)
    with (folder / f"{peer.command[0].replace('/', '-')}.log").open("wb") as log:
        command = [str(environment(peer) / program), *arguments]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _wait_for(target, process)
            yield target
        finally:
            # All of its group, at once: what it does at its end is none of our checks.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(target: Target, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with suppress(Failed):
            target.infer(target.example.request()).ok()
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
            break  # it has ended, so nothing will answer
    raise SystemExit(f"{target.url} did not start; its log is in {CACHE / 'work'}")


def main() -> None:
    folder = CACHE / "work"
    folder.mkdir(parents=True, exist_ok=True)
    example = an_example(folder)
    (folder / "example.json").write_text(json.dumps(vars(example)))
    print(f"| server | {' | '.join(Group)} | all |")  # noqa: T201
    print("|---" * (len(Group) + 2) + "|")  # noqa: T201
    for peer in (MLSERVER, KSERVE):
        with started(peer, example, folder) as target:
            outcomes = list(run(target))
        (folder / f"{peer.name}.txt").write_text("".join(f"{line(outcome)}\n" for outcome in outcomes))
        cells = [f"{passed} / {asked}" for passed, asked in scores(outcomes).values()]
        print(f"| {peer.name} | {' | '.join(cells)} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
