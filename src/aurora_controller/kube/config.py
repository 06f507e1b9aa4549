"""Where the API server is, how to trust it, and who we are; re-read before it goes stale.

Projected tokens rotate every hour and CA bundles every few years, both while the process runs. So the files are
looked at again every minute, off the event loop, and at once when the server refuses our credentials or we its
certificate. The only file that imports kubernetes_asyncio: it knows kubeconfig, exec plugins and OIDC.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import structlog
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import load_incluster_config, load_kube_config
from kubernetes_asyncio.config.config_exception import ConfigException
from kubernetes_asyncio.config.incluster_config import SERVICE_CERT_FILENAME, SERVICE_TOKEN_FILENAME

from aurora_controller.kube.clock import Clock, SystemClock

_REFRESH_SECONDS = 60.0
_EARLIEST_RENEWAL_SECONDS = 1.0
"""A refused token is renewed at once, but a hundred refused requests renew it once."""

log = structlog.get_logger(__name__)


class ConfigError(Exception):
    """No usable configuration: neither a service account nor a kubeconfig, or one that cannot be read."""


@dataclass(frozen=True)
class Access:
    """What one request needs beside the address."""

    authorization: str | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = None


class ClusterConfig(Protocol):
    """An API server and the way in. Safe to use from several event loops, each in its own thread."""

    server: str
    """Base URL without a trailing slash."""
    proxy: str | None
    tls_server_name: str | None

    async def access(self, *, renew: bool = False) -> Access:
        """Credentials that are at most a minute old; ``renew`` after the server, or its certificate, was refused."""
        ...


@dataclass(frozen=True)
class StaticConfig:
    """A server that needs nothing, or always the same: tests, proxies, ``kubectl proxy``."""

    server: str
    authorization: str | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = None
    proxy: str | None = None
    tls_server_name: str | None = None

    async def access(self, *, renew: bool = False) -> Access:  # noqa: ARG002
        return Access(self.authorization, self.ssl_context)


Loader: TypeAlias = Callable[[], Awaitable[Configuration]]


class RotatingConfig:
    """A configuration that ``loader`` can read again at any time."""

    def __init__(self, configuration: Configuration, loader: Loader, *, clock: Clock) -> None:
        self.server: str = _server_of(configuration)
        self.proxy: str | None = configuration.proxy
        self.tls_server_name: str | None = configuration.tls_server_name
        self._loader = loader
        self._clock = clock
        self._trust = _trust_of(configuration)
        self._access = Access(_authorization_of(configuration), _ssl_context(configuration))
        self._read_at = clock.monotonic()
        self._reading = False

    async def access(self, *, renew: bool = False) -> Access:
        age = self._clock.monotonic() - self._read_at
        due = age >= (_EARLIEST_RENEWAL_SECONDS if renew else _REFRESH_SECONDS)
        if due and not self._reading:
            await self._read_again()
        return self._access

    async def _read_again(self) -> None:
        # Others go on with what there is meanwhile: an old token is valid for minutes after a new one is issued.
        self._reading = True
        try:
            configuration = await asyncio.to_thread(_run, self._loader)
            trust = _trust_of(configuration)
            ssl_context = self._access.ssl_context
            if trust != self._trust:
                ssl_context = await asyncio.to_thread(_ssl_context, configuration)
                log.info("certificates changed, trust rebuilt", server=self.server)
            self._access = Access(_authorization_of(configuration), ssl_context)
            self._trust = trust
        except (ConfigException, OSError, ValueError) as error:
            # A half-written rotation is readable a moment later; until then the old credentials are tried.
            log.warning("credentials not readable, keeping the old ones", error=str(error))
        finally:
            self._read_at = self._clock.monotonic()
            self._reading = False


async def load_config(
    environment: Mapping[str, str],
    *,
    token_file: str = SERVICE_TOKEN_FILENAME,
    ca_file: str = SERVICE_CERT_FILENAME,
    clock: Clock | None = None,
) -> ClusterConfig:
    """The service account of this pod, else the kubeconfig that ``KUBECONFIG`` names, else ``~/.kube/config``.

    A ``KUBECONFIG`` that is set wins over the service account. Raises ConfigError.
    """

    async def in_cluster() -> Configuration:
        configuration = Configuration()
        # The loader's own refresh hook reads files on the event loop; we call the loader again instead.
        load_incluster_config(  # type: ignore[no-untyped-call]
            configuration,
            try_refresh_token=False,
            token_filename=token_file,
            cert_filename=ca_file,
            environ=dict(environment),
        )
        return configuration

    async def from_kubeconfig() -> Configuration:
        configuration = Configuration()
        paths = environment.get("KUBECONFIG") or "~/.kube/config"
        await load_kube_config(config_file=paths, client_configuration=configuration)
        return configuration

    in_pod = "KUBERNETES_SERVICE_HOST" in environment and not environment.get("KUBECONFIG")
    loader: Loader = in_cluster if in_pod else from_kubeconfig
    try:
        configuration = await asyncio.to_thread(_run, loader)
        return RotatingConfig(configuration, loader, clock=clock or SystemClock())
    except (ConfigException, OSError, ValueError, TypeError) as error:
        where = "the pod's service account" if in_pod else environment.get("KUBECONFIG") or "~/.kube/config"
        raise ConfigError(f"no Kubernetes configuration from {where}: {error}") from error


def _run(loader: Loader) -> Configuration:
    # In a thread of its own loop: YAML, exec plugins and token requests would otherwise block ours.
    async def load() -> Configuration:
        return await loader()

    return asyncio.run(load())


def _server_of(configuration: Configuration) -> str:
    if not configuration.host:
        raise ConfigException("the cluster has no server")
    return configuration.host.rstrip("/")


def _authorization_of(configuration: Configuration) -> str | None:
    value = cast("str | None", configuration.api_key.get("BearerToken"))
    # Token files may end in a newline, which no header may carry.
    return value.strip() if value else None


def _trust_of(configuration: Configuration) -> tuple[object, ...]:
    """Changes whenever a certificate file does: a Secret volume swaps a symlink, so mtime and inode both count."""
    stamps: list[object] = [configuration.verify_ssl]
    for name in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
        if name:
            stat = Path(name).stat()
            stamps.append((name, stat.st_mtime_ns, stat.st_ino, stat.st_size))
    return tuple(stamps)


def _ssl_context(configuration: Configuration) -> ssl.SSLContext | None:
    if not _server_of(configuration).startswith("https"):
        return None
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
