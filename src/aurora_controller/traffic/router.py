"""How requests are split between stable and canary: the contract of a router.

A router turns a route into manifests and reads the weight back from manifests. It holds no client: the rollout
applies what it renders, as any other child.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aurora_controller.kube.meta import Manifest


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
class Route:
    """Where requests come from and which Services they go to."""

    name: str
    namespace: str
    key: RouteKey
    stable_service: str
    canary_service: str | None
    """None removes the canary's routing."""
    canary_weight: int
    """Percent, 0 to 100."""
    labels: Mapping[str, str]
    owner: Manifest
    """Owner reference."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    tls_secret: str | None = None


class Router(Protocol):
    """Weights → manifests, manifests → weights."""

    def render(self, route: Route) -> Sequence[Manifest]:
        """All objects of this route; what is not among them is to be deleted."""
        ...

    def weight_in(self, manifests: Sequence[Manifest]) -> int | None:
        """The canary's weight that these objects ask for; None when they route to no canary."""
        ...
