"""The controller's settings, and what a wrong one says."""

import pytest
from pydantic import ValidationError

from aurora_controller.settings import ControllerSettings, SettingsError

IMAGE = {"AURORA_RUNTIME_IMAGE": "runtime:1"}


def test_the_runtime_image_is_all_that_must_be_set() -> None:
    settings = ControllerSettings.from_env(IMAGE)

    assert settings.runtime_image == "runtime:1"
    assert settings.namespaces == ()
    assert settings.leader_election
    assert (settings.lease_seconds, settings.renew_deadline_seconds, settings.retry_seconds) == (15, 10, 2)
    assert (settings.health_port, settings.metrics_port) == (8080, 9090)
    assert settings.host_template == ""
    assert settings.router_settle_seconds == 5


def test_every_setting_can_be_given_by_its_variable() -> None:
    settings = ControllerSettings.from_env(
        IMAGE
        | {
            "AURORA_NAMESPACES": "team-a, team-b,",
            "AURORA_LEADER_ELECTION": "false",
            "AURORA_HOST_TEMPLATE": "{name}.{namespace}.models.example.com",
            "AURORA_LOG_LEVEL": "DEBUG",
            "AURORA_CONCURRENCY": "16",
        }
    )

    assert settings.namespaces == ("team-a", "team-b")
    assert not settings.leader_election
    assert settings.host_template == "{name}.{namespace}.models.example.com"
    assert (settings.log_level, settings.concurrency) == ("debug", 16)


def test_an_empty_variable_is_an_unset_one() -> None:
    assert ControllerSettings.from_env(IMAGE | {"AURORA_HEALTH_PORT": " "}).health_port == 8080


def test_variables_of_others_are_ignored() -> None:
    ControllerSettings.from_env(IMAGE | {"AURORA_CONTROLLER_SERVICE_HOST": "10.0.0.1", "HOME": "/"})


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("AURORA_RUNTIME_IMAGE", "", "Set the image that training and serving pods run"),
        ("AURORA_HEALTH_PORT", "http", "Set the port of /healthz and /readyz"),
        ("AURORA_METRICS_PORT", "70000", "Set the port of /metrics"),
        ("AURORA_LOG_LEVEL", "loud", "Set debug, info, warning or error"),
        ("AURORA_LEADER_ELECTION", "perhaps", "Set true"),
        ("AURORA_NAMESPACES", "team_a", "separated by commas"),
        ("AURORA_HOST_TEMPLATE", "{model}.example.com", "placeholders {name} and {namespace}"),
        ("AURORA_HOST_TEMPLATE", "models.example.com", "placeholders {name} and {namespace}"),
        ("AURORA_HOST_TEMPLATE", "{name}_x.example.com", "placeholders {name} and {namespace}"),
        ("AURORA_LEASE_SECONDS", "5", "AURORA_RENEW_DEADLINE_SECONDS"),
        ("AURORA_CONCURRENCY", "0", "1 to 256"),
    ],
)
def test_a_wrong_value_names_the_variable_and_the_remedy(variable: str, value: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as error:
        ControllerSettings.from_env(IMAGE | {variable: value})

    assert str(error.value).startswith(f"{variable}: ")
    assert remedy in str(error.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ControllerSettings.from_env(IMAGE).health_port = 1  # type: ignore[misc]
