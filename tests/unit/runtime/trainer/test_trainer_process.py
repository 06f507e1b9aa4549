"""The program as a shell or a kubelet sees it: one process per test, so there are few."""

import asyncio
import importlib.abc
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from aurora_runtime.contract import ExitCode, Outcome, TrainingProgress, TrainingReport
from aurora_runtime.store.model_store import ModelStore
from aurora_runtime.trainer import __main__ as trainer_main
from aurora_runtime.trainer.program import deliver, main
from tests.unit.runtime.trainer.builders import a_task, inputs

FLAGS = ("--model", "flowers", "--dataset", "iris", "--algorithm", "random_forest", "--param", "n_estimators=5")


async def start(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "aurora_runtime.trainer", *arguments),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_one_command_publishes_a_version_and_its_last_line_is_the_report(tmp_path: Path) -> None:
    process = await start("--store", str(tmp_path), *FLAGS)
    stdout, stderr = await process.communicate()
    assert process.returncode == ExitCode.OK
    report = TrainingReport.model_validate_json(stdout.splitlines()[-1])
    assert report.outcome is Outcome.SUCCEEDED
    assert report.facts is not None
    store = ModelStore(root=tmp_path)
    store.verify(store.open("flowers", 1, report.facts.digest))
    events = [json.loads(line) for line in stderr.splitlines()]
    assert events[-1]["event"] == "version published"
    assert all(event["run_id"] == report.run_id for event in events)


async def test_a_terminated_run_serves_its_progress_until_then_and_leaves_nothing_visible(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    task = a_task(inputs=inputs(dataset="synthetic", hyperparameters={"n_estimators": 5000}))
    process = await start(
        *("--metrics-port", str(unused_tcp_port)),
        AURORA_TRAINING_TASK=task.to_json(),
        AURORA_STORE=str(tmp_path),
    )
    async with asyncio.timeout(300), aiohttp.ClientSession() as session:
        progress = await first_progress(session, f"http://127.0.0.1:{unused_tcp_port}/progress", process)
        assert progress.run_id == task.run_id
        process.send_signal(signal.SIGTERM)
        began = asyncio.get_running_loop().time()
        stdout, _ = await process.communicate()
    assert asyncio.get_running_loop().time() - began < 30
    assert process.returncode == 128 + signal.SIGTERM
    assert stdout == b""
    assert ModelStore(root=tmp_path).highest("flowers") == 0


class LoadingBegan(Exception):
    """The program's libraries would be loaded now."""


class Watcher(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "aurora_runtime.trainer.program":
            raise LoadingBegan


def test_a_stop_is_heard_before_the_libraries_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "aurora_runtime.trainer.program")
    monkeypatch.delattr("aurora_runtime.trainer.program")
    monkeypatch.setattr(sys, "meta_path", [Watcher(), *sys.meta_path])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(LoadingBegan):
            trainer_main.main()
        assert signal.getsignal(signal.SIGTERM) is trainer_main._end_at_once
    finally:
        signal.signal(signal.SIGTERM, before)


async def first_progress(
    session: aiohttp.ClientSession, url: str, process: asyncio.subprocess.Process
) -> TrainingProgress:
    """Asks until the program listens; its first log line tells that fitting is near."""
    assert process.stderr is not None
    assert "rows loaded" in (await process.stderr.readline()).decode()
    async with session.get(url) as response:
        return TrainingProgress.model_validate_json(await response.text())


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.SUCCEEDED, 0),
        (Outcome.REUSED, 0),
        (Outcome.FAILED, 1),
        (Outcome.INVALID_INPUT, 64),
        (Outcome.VERSION_TAKEN, 65),
        (Outcome.STORAGE_UNAVAILABLE, 74),
    ],
)
def test_the_exit_code_says_who_acts_next(outcome: Outcome, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert deliver(TrainingReport(outcome=outcome, run_id="r"), None) == code
    assert json.loads(capsys.readouterr().out)["outcome"] == outcome.value


def test_in_a_pod_the_report_is_the_termination_message_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = TrainingReport(outcome=Outcome.FAILED, run_id="r", message="x" * 10_000)
    deliver(report, tmp_path / "termination-log")
    written = (tmp_path / "termination-log").read_text()
    assert len(written.encode()) <= 3584
    assert TrainingReport.model_validate_json(written).outcome is Outcome.FAILED
    assert TrainingReport.model_validate_json(capsys.readouterr().out) == report


def test_a_termination_message_that_cannot_be_written_does_not_hide_the_outcome(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = TrainingReport(outcome=Outcome.SUCCEEDED, run_id="r")
    assert deliver(report, tmp_path / "missing" / "termination-log") == ExitCode.OK
    assert TrainingReport.model_validate_json(capsys.readouterr().out.splitlines()[-1]) == report


def test_a_command_without_a_task_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == ExitCode.INVALID_INPUT
    report = TrainingReport.model_validate_json(capsys.readouterr().out)
    assert "--dataset" in report.message
