"""Flags for people, variables for pods, and a plain word for what cannot be."""

from pathlib import Path

import pytest

from aurora_runtime.contract import PayloadLogging
from aurora_runtime.inference.errors import InvalidSettings
from aurora_runtime.inference.settings import InferenceSettings

FLAGS = ["--store", "/store", "--model", "housing"]
POD = {
    "AURORA_STORE": "/var/lib/aurora/store",
    "AURORA_MODEL": "housing",
    "AURORA_VERSION": "3",
    "AURORA_DIGEST": "sha256:" + "a" * 64,
    "AURORA_REVISION": "3-abcd1234",
    "AURORA_API_KEYS_DIR": "/etc/aurora/api-keys",
    "AURORA_DRAIN_SECONDS": "15",
    "AURORA_LOG_LEVEL": "debug",
    "AURORA_PAYLOAD_LOG": '{"percent": 5, "redact": ["income"]}',
}


def test_two_flags_are_enough() -> None:
    settings = InferenceSettings.from_command_line(FLAGS, {})
    assert (settings.store, settings.model, settings.version) == (Path("/store"), "housing", "latest")
    assert (settings.port, settings.metrics_port) == (8080, 9090)
    assert settings.api_keys_dir is None


def test_a_pod_needs_no_flag() -> None:
    settings = InferenceSettings.from_command_line([], POD)
    assert (settings.version, settings.revision, settings.drain_seconds) == (3, "3-abcd1234", 15)
    assert settings.api_keys_dir == Path("/etc/aurora/api-keys")
    assert settings.log_level == "debug"
    assert settings.payload_log == PayloadLogging(percent=5, redact=["income"])


def test_a_flag_wins_over_its_variable() -> None:
    assert InferenceSettings.from_command_line(["--version", "7"], POD).version == 7


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(["--model", "housing"], "--store (variable AURORA_STORE)", id="no store"),
        pytest.param(["--store", "/store"], "--model (variable AURORA_MODEL)", id="no model"),
        pytest.param([*FLAGS, "--version", "newest"], "--version (variable AURORA_VERSION)", id="a word as version"),
        pytest.param([*FLAGS, "--version", "0"], "--version (variable AURORA_VERSION)", id="version 0"),
        pytest.param([*FLAGS, "--digest", "abc"], "--digest (variable AURORA_DIGEST)", id="no digest"),
        pytest.param([*FLAGS, "--port", "99999"], "--port", id="no port"),
        pytest.param([*FLAGS, "--drain-seconds", "-1"], "--drain-seconds (variable", id="negative time"),
        pytest.param([*FLAGS, "--queue-limit", "0"], "--queue-limit", id="no queue"),
        pytest.param([*FLAGS, "--payload-log", "income"], "--payload-log (variable AURORA_PAYLOAD_LOG)", id="no JSON"),
        pytest.param([*FLAGS, "--payload-log", '{"redact": ["income"]}'], "--payload-log", id="no share of payloads"),
        pytest.param([*FLAGS, "--payload-log", '{"percent": 1, "redcat": []}'], "--payload-log", id="a typo"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_its_variable(arguments: list[str], named: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        InferenceSettings.from_command_line(arguments, {})
    assert str(refused.value).startswith(named)
