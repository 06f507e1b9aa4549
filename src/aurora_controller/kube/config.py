"""Where the API server is, how to trust it, and who we are; re-read before it goes stale.

Projected tokens rotate every hour and CA bundles every few years, both while the process runs. So everything is read
again every minute, off the event loop, and at once when the server refuses our credentials or we its certificate.

The only file that imports kubernetes_asyncio, and only for users of exec plugins, OIDC and the like: loading it costs
75 MiB, twice what the rest of the controller's libraries take (measured, version 36.1).
"""

import asyncio
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import structlog

from aurora_controller.kube.clock import Clock, SystemClock
from aurora_controller.kube.kubeconfig import ConfigError, Credentials, NeedsPlugin, read_kubeconfig

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_REFRESH_SECONDS = 60.0
_PLUGIN_REFRESH_SECONDS = 600.0
"""A plugin is a program that may call a cloud; when its token expires sooner, the refused request renews it."""
_EARLIEST_RENEWAL_SECONDS = 1.0
"""A hundred refused requests renew a token once."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Access:
    """What one request needs beside the address."""

    authorization: str | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = None


class ClusterConfig(Protocol):
    """An API server and the way in. Safe to use from several event loops, each in its own thread."""

    @property
    def server(self) -> str:
        """Base URL without a trailing slash."""
        ...

    @property
    def proxy(self) -> str | None: ...
    @property
    def tls_server_name(self) -> str | None: ...

    async def access(self, *, renew: bool = False) -> Access:
        """Credentials that are at most a minute old; ``renew`` after the server, or its certificate, was refused."""
        ...


@dataclass(frozen=True)
class StaticConfig:
    """A server that needs nothing, or always the same: tests, local proxies."""

    server: str
    authorization: str | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = None
    proxy: str | None = None
    tls_server_name: str | None = None

    async def access(self, *, renew: bool = False) -> Access:  # noqa: ARG002
        return Access(self.authorization, self.ssl_context)


Loader: TypeAlias = Callable[[], Credentials]
"""Reads all that there is to know, in a thread of its own."""


class RotatingConfig:
    """Credentials that ``loader`` can read again at any time; ``first`` is what it read just now."""

    def __init__(
        self, first: Credentials, loader: Loader, *, clock: Clock, refresh_seconds: float = _REFRESH_SECONDS
    ) -> None:
        self.server = first.server
        self.proxy = first.proxy
        self.tls_server_name = first.tls_server_name
        self._loader = loader
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._trust = first.trust
        self._access = Access(first.authorization, _ssl_context(first))
        self._read_at = clock.monotonic()
        self._is_reading = False

    async def access(self, *, renew: bool = False) -> Access:
        age = self._clock.monotonic() - self._read_at
        due = age >= (_EARLIEST_RENEWAL_SECONDS if renew else self._refresh_seconds)
        if due and not self._is_reading:
            await self._read_again()
        return self._access

    async def _read_again(self) -> None:
        # Others go on with what there is meanwhile: an old token is valid for minutes after a new one is issued.
        self._is_reading = True
        try:
            credentials = await asyncio.to_thread(self._loader)
            context = self._access.ssl_context
            if credentials.trust != self._trust:
                context = await asyncio.to_thread(_ssl_context, credentials)
                log.info("certificates changed, trust rebuilt", server=self.server)
            self._access = Access(credentials.authorization, context)
            self._trust = credentials.trust
        except (ConfigError, OSError) as error:
            # A half-written rotation is whole a moment later; until then the old credentials are tried.
            log.warning("credentials not readable, keeping the old ones", error=str(error))
        finally:
            self._read_at = self._clock.monotonic()
            self._is_reading = False


async def load_config(
    environment: Mapping[str, str], *, service_account: Path = SERVICE_ACCOUNT, clock: Clock | None = None
) -> ClusterConfig:
    """What ``KUBECONFIG`` names, else the service account of this pod, else ``~/.kube/config``. Raises ConfigError."""
    clock = clock or SystemClock()
    if not environment.get("KUBECONFIG") and environment.get("KUBERNETES_SERVICE_HOST"):
        return await _loaded(partial(_service_account, environment, service_account), clock, _REFRESH_SECONDS)
    places = environment.get("KUBECONFIG") or "~/.kube/config"
    try:
        return await _loaded(partial(read_kubeconfig, _paths(places)), clock, _REFRESH_SECONDS)
    except NeedsPlugin:
        return await _loaded(partial(_ask_plugin, places), clock, _PLUGIN_REFRESH_SECONDS)


async def _loaded(loader: Loader, clock: Clock, refresh_seconds: float) -> RotatingConfig:
    try:
        first = await asyncio.to_thread(loader)
        return RotatingConfig(first, loader, clock=clock, refresh_seconds=refresh_seconds)
    except OSError as error:
        # SSLError is an OSError: a certificate that is none is told here too.
        raise ConfigError(f"credentials cannot be read: {error}") from error


def _paths(places: str) -> Sequence[Path]:
    return [Path(place).expanduser() for place in places.split(os.pathsep) if place]


def _service_account(environment: Mapping[str, str], folder: Path) -> Credentials:
    host = environment["KUBERNETES_SERVICE_HOST"]
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    return Credentials(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca=(folder / "ca.crt").read_bytes(),
        authorization=f"Bearer {(folder / 'token').read_text().strip()}",
    )


def _ask_plugin(paths: str) -> Credentials:
    from kubernetes_asyncio.client import Configuration  # noqa: PLC0415
    from kubernetes_asyncio.config import load_kube_config  # noqa: PLC0415

    found = Configuration()
    try:
        asyncio.run(load_kube_config(config_file=paths, client_configuration=found, persist_config=False))
    except Exception as error:
        # Plugins fail in ways of their own, with exceptions of every kind.
        raise ConfigError(f"no credentials from {paths}: {error}") from error
    if not found.host:
        raise ConfigError(f"{paths} has no server")
    token = found.api_key.get("BearerToken")
    return Credentials(
        server=found.host.rstrip("/"),
        ca=Path(found.ssl_ca_cert).read_bytes() if found.ssl_ca_cert else None,
        certificate=Path(found.cert_file).read_bytes() if found.cert_file else None,
        key=Path(found.key_file).read_bytes() if found.key_file else None,
        authorization=token.strip() if token else None,
        verifies_server=found.verify_ssl,
        tls_server_name=found.tls_server_name,
        proxy=found.proxy,
    )


def _ssl_context(credentials: Credentials) -> ssl.SSLContext | None:
    if not credentials.server.startswith("https:"):
        return None
    context = ssl.create_default_context(cadata=credentials.ca.decode("ascii") if credentials.ca else None)
    if credentials.certificate and credentials.key:
        # OpenSSL reads a client's key from files only.
        with tempfile.NamedTemporaryFile() as file:
            file.write(credentials.certificate + b"\n" + credentials.key)
            file.flush()
            context.load_cert_chain(file.name)
    if not credentials.verifies_server:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
