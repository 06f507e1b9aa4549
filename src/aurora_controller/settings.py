"""What the environment decides: one variable ``AURORA_<FIELD>`` per field, empty meaning unset."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

PREFIX: Final = "AURORA_"
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class SettingsError(Exception):
    """A variable that cannot be used, with its remedy."""

    def __init__(self, variable: str, problem: str, remedy: str) -> None:
        super().__init__(f"{variable}: {problem}. {remedy}")
        self.variable = variable


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


class ControllerSettings(BaseModel):
    """The descriptions tell what to set, and are what an error message ends with."""

    model_config = ConfigDict(frozen=True)

    runtime_image: Annotated[
        str,
        Field(
            min_length=1, description="Set the image that training and serving pods run, such as aurora-runtime:0.1.0"
        ),
    ]
    namespaces: Annotated[
        tuple[str, ...],
        BeforeValidator(_split),
        Field(description="Set the namespaces to watch, separated by commas, or leave it empty to watch all"),
    ] = ()
    pod_namespace: Annotated[
        str,
        Field(description="Set the namespace of this pod (downward API metadata.namespace); the Lease is kept there"),
    ] = "aurora-system"
    pod_name: Annotated[str, Field(description="Set the name of this pod (downward API metadata.name)")] = ""
    host_template: Annotated[
        str,
        Field(
            description="Set a host name with the placeholders {name} and {namespace}, such as "
            "{name}.{namespace}.models.example.com, or leave it empty to route without a host"
        ),
    ] = ""
    router_settle_seconds: Annotated[
        float,
        Field(ge=0, le=300, description="Set how long the router needs to follow a changed weight: 0 to 300 seconds"),
    ] = 5.0
    concurrency: Annotated[
        int, Field(ge=1, le=256, description="Set the number of objects of a kind reconciled at once: 1 to 256")
    ] = 8
    leader_election: Annotated[
        bool, Field(description="Set true (the default), or false where there is never a second replica")
    ] = True
    lease_seconds: Annotated[
        float, Field(ge=1, le=3600, description="Set the duration of the Lease: 1 to 3600 seconds")
    ] = 15.0
    renew_deadline_seconds: Annotated[
        float, Field(gt=0, le=3600, description="Set a renew deadline shorter than AURORA_LEASE_SECONDS")
    ] = 10.0
    retry_seconds: Annotated[
        float,
        Field(gt=0, le=3600, description="Set a retry period below AURORA_RENEW_DEADLINE_SECONDS divided by 1.2"),
    ] = 2.0
    graceful_shutdown_seconds: Annotated[
        float, Field(ge=0, le=600, description="Set how long reconciles may take to end at a stop: 0 to 600 seconds")
    ] = 30.0
    health_port: Annotated[
        int, Field(ge=0, le=65535, description="Set the port of /healthz and /readyz; 0 takes any that is free")
    ] = 8080
    metrics_port: Annotated[
        int, Field(ge=0, le=65535, description="Set the port of /metrics; AURORA_HEALTH_PORT may be the same")
    ] = 9090
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
        Field(description="Set debug, info, warning or error"),
    ] = "info"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "ControllerSettings":
        """Raises SettingsError for the first variable that is missing or wrong."""
        given = {
            name: environ[variable]
            for name in cls.model_fields
            if (variable := f"{PREFIX}{name.upper()}") in environ and environ[variable].strip()
        }
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "lease_seconds"
            problem = "not set" if first["type"] == "missing" else f"{given.get(name, '')!r}: {first['msg']}"
            raise SettingsError(f"{PREFIX}{name.upper()}", problem, cls.model_fields[name].description or "") from error

    @field_validator("namespaces")
    @classmethod
    def _are_namespaces(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _DNS_LABEL.fullmatch(name):
                raise ValueError(f"{name!r} is not a name of a namespace")
        return names

    @field_validator("host_template")
    @classmethod
    def _gives_a_host(cls, template: str) -> str:
        if not template:
            return template
        try:
            host = template.format(name="a", namespace="b")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError("unknown placeholder") from error
        if not _HOST_NAME.fullmatch(host):
            raise ValueError(f"gives {host!r}, which is not a host name")
        if "{name}" not in template:
            raise ValueError("gives every model the same host")
        return template

    @model_validator(mode="after")
    def _times_fit(self) -> "ControllerSettings":
        if not self.lease_seconds > self.renew_deadline_seconds > 1.2 * self.retry_seconds:
            raise ValueError(
                "AURORA_LEASE_SECONDS must be above AURORA_RENEW_DEADLINE_SECONDS, "
                "and that above 1.2 times AURORA_RETRY_SECONDS"
            )
        return self
