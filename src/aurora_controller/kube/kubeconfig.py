"""What a kubeconfig file says about its current context, as far as files alone can tell.

Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ConfigError(Exception):
    """No usable configuration: neither a service account nor a kubeconfig, or one that cannot be read."""


class NeedsPlugin(Exception):
    """The user's credentials come from a program or an identity provider."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """An API server, how to trust it, and who we are; certificates and keys are PEM."""

    server: str
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    authorization: str | None = field(default=None, repr=False)
    verifies_server: bool = True
    tls_server_name: str | None = None
    proxy: str | None = None

    @property
    def trust(self) -> tuple[object, ...]:
        """All that a TLS context is made of."""
        return self.ca, self.certificate, self.key, self.verifies_server


def read_kubeconfig(paths: Sequence[Path]) -> Credentials:
    """Of the current context. Of several files, the first that names a thing wins; relative paths are theirs.

    Raises ConfigError, and NeedsPlugin for users of exec plugins and authentication providers.
    """
    documents = [(path.parent, _load(path)) for path in paths if path.exists()]
    if not documents:
        raise ConfigError(f"no kubeconfig at {', '.join(map(str, paths))}")
    current = next((doc["current-context"] for _, doc in documents if doc.get("current-context")), None)
    if current is None:
        raise ConfigError("the kubeconfig has no current context")
    _, context = _named(documents, "context", current)
    folder, cluster = _named(documents, "cluster", context.get("cluster"))
    home, user = _named(documents, "user", context["user"]) if context.get("user") else (folder, {})
    if user.keys() & {"exec", "auth-provider"}:
        raise NeedsPlugin
    if not cluster.get("server"):
        raise ConfigError(f"cluster {context['cluster']} has no server")
    return Credentials(
        server=cluster["server"].rstrip("/"),
        ca=_content(folder, cluster, "certificate-authority"),
        certificate=_content(home, user, "client-certificate"),
        key=_content(home, user, "client-key"),
        authorization=_authorization(home, user),
        verifies_server=not cluster.get("insecure-skip-tls-verify", False),
        tls_server_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
    )


def _load(path: Path) -> Mapping[str, Any]:
    # Needed outside of clusters only: a pod does without the parser.
    import yaml  # noqa: PLC0415

    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is no kubeconfig")
    return document


def _named(
    documents: Sequence[tuple[Path, Mapping[str, Any]]], what: str, name: str | None
) -> tuple[Path, Mapping[str, Any]]:
    """The folder of the file that names it, and what it is."""
    for folder, document in documents:
        for entry in document.get(f"{what}s") or ():
            if entry.get("name") == name:
                return folder, entry.get(what) or {}
    raise ConfigError(f"the kubeconfig has no {what} named {name}")


def _content(folder: Path, entry: Mapping[str, Any], name: str) -> bytes | None:
    """Inline data wins over a file, as everywhere in a kubeconfig."""
    if data := entry.get(f"{name}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise ConfigError(f"{name}-data is not base64") from error
    return (folder / entry[name]).read_bytes() if entry.get(name) else None


def _authorization(folder: Path, user: Mapping[str, Any]) -> str | None:
    if user.get("tokenFile"):
        return f"Bearer {(folder / user['tokenFile']).read_text().strip()}"
    if user.get("token"):
        return f"Bearer {user['token']}"
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return None
