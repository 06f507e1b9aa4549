"""What a server is told: flags for people, the contract's variables for pods."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from aurora_runtime import contract
from aurora_runtime.contract import PayloadLogging, Variable
from aurora_runtime.inference.errors import InvalidSettings
from aurora_runtime.inference.libraries import LibraryPolicy

MOST_THREADS: Final = 4
"""One interpreter: more threads only wait for each other."""

Port = Annotated[int, Field(ge=0, le=65535)]


class InferenceSettings(BaseModel):
    """Settings of one server process; every field may come from its flag or its variable."""

    model_config = ConfigDict(frozen=True)

    store: Annotated[Path, Field(description="root of the store")]
    model: Annotated[str, Field(description="name of the model", min_length=1)]
    version: Annotated[
        Annotated[int, Field(ge=1)] | Literal["latest"], Field(description="version number, or latest")
    ] = "latest"
    digest: Annotated[
        str | None, Field(description="digest that the version must have: sha256:…", pattern=r"^sha256:[0-9a-f]{64}$")
    ] = None
    revision: Annotated[str, Field(description="name of this revision, for metrics and headers")] = ""
    host: Annotated[str, Field(description="address to listen on")] = "0.0.0.0"  # noqa: S104  a pod's server
    port: Annotated[Port, Field(description="port of predictions and health")] = contract.HTTP_PORT
    metrics_port: Annotated[Port, Field(description="port of /metrics and /counters")] = contract.METRICS_PORT
    api_keys_dir: Annotated[
        Path | None, Field(description="folder with one API key per file; without it anybody may ask")
    ] = None
    drain_seconds: Annotated[
        float, Field(description="how long to serve on after SIGTERM, so that routers notice", ge=0, le=3600)
    ] = 0.0
    max_body_bytes: Annotated[int, Field(description="largest request body", ge=1024)] = 8 * 1024 * 1024
    threads: Annotated[int, Field(description="predictions that run at the same time", ge=1, le=64)] = Field(
        default_factory=lambda: min(MOST_THREADS, len(os.sched_getaffinity(0)))
    )
    queue_limit: Annotated[int, Field(description="requests that may wait for a prediction", ge=1, le=10_000)] = 128
    batch_rows: Annotated[
        int,
        Field(
            description="requests that wait are predicted together up to this many rows; 1: each alone", ge=1, le=10_000
        ),
    ] = 64
    request_timeout_seconds: Annotated[
        float, Field(description="how long a prediction may wait and take together", ge=0.1, le=3600)
    ] = 30.0
    body_timeout_seconds: Annotated[
        float, Field(description="how long the body of a request may take to come", ge=0.1, le=3600)
    ] = 30.0
    idle_timeout_seconds: Annotated[
        float, Field(description="how long a connection may be without a complete request head", ge=0.1, le=3600)
    ] = 75.0
    access_log_share: Annotated[
        float, Field(description="share of successful requests that are logged, 0 to 1; errors always are", ge=0, le=1)
    ] = 0.0
    payload_log: Annotated[
        PayloadLogging | None,
        BeforeValidator(lambda given: from_json(given) if isinstance(given, str) else given),
        Field(description='payloads that are logged, as JSON: {"percent": 1, "redact": ["<name>"]}; without it none'),
    ] = None
    library_versions: Annotated[
        LibraryPolicy,
        Field(description="libraries other than at training: warn, refuse, or auto: refuse pickles of another minor"),
    ] = "auto"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="least level logged")] = "info"

    @classmethod
    def from_command_line(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> "InferenceSettings":
        """Flags win over variables. Raises InvalidSettings naming the flag, its variable and the remedy."""
        parser = argparse.ArgumentParser(prog="python -m aurora_runtime.inference", description="Serves one model.")
        variables: dict[str, str] = {variable.name.lower(): variable.value for variable in Variable}
        for name, field in cls.model_fields.items():
            variable = variables.get(name)
            also = f" (or {variable})" if variable else ""
            parser.add_argument(flag_of(name), dest=name, metavar=name.upper(), help=f"{field.description}{also}")
        given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
        values = {name: environment[variable] for name, variable in variables.items() if environment.get(variable)}
        try:
            return cls.model_validate(values | given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0])
            raise InvalidSettings(
                setting=flag_of(name), variable=variables.get(name), problem=str(first["msg"]).lower()
            ) from error


def flag_of(field: str) -> str:
    """Name of a field on the command line."""
    return "--" + field.replace("_", "-")
