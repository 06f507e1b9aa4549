"""How requests are split between stable and canary: the contract of a router.

A router turns a route into manifests, and manifests back into the split they ask for. It holds no client: the rollout
applies what it renders, as any other child. What a router cannot do is among its capabilities, so that it can be
refused when it is asked for, and is never silently ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from aurora_controller.kube.meta import Manifest

SERVICE_PORT: Final = 80
SERVICE_PORT_NAME: Final = "http"
_PATH: Final = "/v2/models/"


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a router can do."""

    weights: bool
    """Splits by percent."""
    acknowledges: bool
    """Tells when it follows what was asked; otherwise it is given time."""
    stable_may_be_empty: bool
    """Whether the canary gets its share when the stable Service has no endpoint."""


@dataclass(frozen=True, kw_only=True)
class RouteKey:
    """What two MLDeployments cannot both hold."""

    class_name: str
    host: str
    """Empty for any host."""
    path: str

    def __str__(self) -> str:
        return f"{self.host or '*'}{self.path} of IngressClass {self.class_name!r}"


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which Services get the requests, and the canary's percent of them."""

    stable_service: str
    canary_service: str | None = None
    """None routes to stable alone."""
    canary_weight: int = 0
    """0 to 100."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where requests come from and where they go."""

    name: str
    namespace: str
    key: RouteKey
    split: Split
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Of the user, for the main route."""
    tls_secret: str | None = None


class Router(Protocol):
    """Weights → manifests, manifests → weights."""

    capabilities: Capabilities

    def render(self, route: Route) -> Sequence[Manifest]:
        """All objects of this route, the main one first; what is not among them is to be deleted."""
        ...

    def split_of(self, manifests: Sequence[Manifest]) -> Split | None:
        """What these objects of one route ask for; None when they route nothing."""
        ...

    def keys_held_by(self, manifest: Manifest) -> Sequence[RouteKey]:
        """The routes that a main object holds; a canary's object holds none of its own."""
        ...


def model_path(model_name: str) -> str:
    """The only path that is ever routed: metrics, artifacts and health of the server stay inside."""
    return f"{_PATH}{model_name}"


def model_of(path: str) -> str:
    """The model that a path of ``model_path`` leads to."""
    return path.removeprefix(_PATH)
