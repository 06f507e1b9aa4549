"""The program as its caller sees it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from aurora_controller.__main__ import _report, main
from aurora_controller.kube.kubeconfig import ConfigError
from aurora_controller.kube.manager import LeadershipLost

DEAD_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: dead
contexts: [{name: dead, context: {cluster: dead, user: nobody}}]
clusters: [{name: dead, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {}}]
"""


@pytest.fixture(autouse=True)
def _keep_handlers() -> object:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_wrong_settings_end_the_program_with_the_variable_and_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == 2
    assert "AURORA_RUNTIME_IMAGE: not set. Set the image" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["--version"], {})

    assert leaving.value.code == 0
    assert capsys.readouterr().out.strip()


def test_a_stop_is_heard_before_the_imports_that_take_long() -> None:
    with pytest.raises(SystemExit):
        main(["--version"], {})

    handler = signal.getsignal(signal.SIGTERM)
    assert callable(handler)
    with pytest.raises(SystemExit) as leaving:
        handler(signal.SIGTERM, None)
    assert leaving.value.code == 0


@pytest.mark.parametrize(
    ("error", "code", "event"),
    [
        (ConfigError("no Kubernetes configuration from /missing"), 2, "no way to the API server"),
        (ExceptionGroup("", [ExceptionGroup("", [LeadershipLost()])]), 1, "leadership lost"),
        (ExceptionGroup("", [LeadershipLost(), OSError()]), 1, "controller failed"),
        (RuntimeError("caches ended by itself"), 1, "controller failed"),
    ],
)
def test_what_ended_the_program_decides_its_exit_code(error: Exception, code: int, event: str) -> None:
    with capture_logs() as logged:
        assert _report(error) == code

    assert [line["event"] for line in logged] == [event]


def test_a_stop_while_the_server_is_away_is_clean(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(DEAD_KUBECONFIG)
    environment = os.environ | {
        "KUBECONFIG": str(kubeconfig),
        "AURORA_RUNTIME_IMAGE": "runtime:1",
        "AURORA_HEALTH_PORT": "0",
        "AURORA_METRICS_PORT": "0",
    }
    program = subprocess.Popen(
        [sys.executable, "-m", "aurora_controller"], env=environment, stderr=subprocess.PIPE, text=True
    )
    assert program.stderr is not None

    assert "Cannot connect to host 127.0.0.1:1" in program.stderr.readline()
    program.terminate()

    assert program.wait() == 0
    program.stderr.close()
