"""What holds at every write and whenever the controller has nothing left to write."""

from dataclasses import dataclass, field
from datetime import datetime

from aurora_controller.api import labels
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    INGRESS,
    POD,
    SERVICE,
    annotations_of,
    key_of,
    labels_of,
)
from aurora_controller.traffic.nginx_ingress import CANARY_WEIGHT, is_canary
from tests.unit.builders import NAMESPACE
from tests.unit.controller.rollout.neighbours import SERVICE_NAME, ManualClock, is_pod_ready
from tests.unit.fakes.cluster import FakeCluster


@dataclass
class Invariants:
    """Watches one MLDeployment's children. What is wrong is collected, so that the story goes on to its end."""

    cluster: FakeCluster
    clock: ManualClock
    name: str
    settle_seconds: float
    violations: list[str] = field(default_factory=list)
    had_traffic: dict[str, datetime] = field(default_factory=dict)
    """When a revision was last behind a Service that gets requests."""
    _selected: str | None = None
    _route: tuple[str, int] | None = None

    # -- readings

    def ready_pods(self, revision: str) -> int:
        pods = self.cluster.cache.with_label(POD, labels.REVISION, revision, NAMESPACE)
        return sum(is_pod_ready(pod) for pod in pods)

    def behind(self, service: str) -> dict[str, int]:
        """Ready endpoints of a Service by revision."""
        counts: dict[str, int] = {}
        for piece in self.cluster.cache.with_label(ENDPOINT_SLICE, SERVICE_NAME, service, NAMESPACE):
            for endpoint in piece.get("endpoints", ()):
                pod = self.cluster.live(POD, endpoint["targetRef"]["name"], namespace=NAMESPACE)
                if endpoint["conditions"]["ready"]:
                    revision = labels_of(pod)[labels.REVISION]
                    counts[revision] = counts.get(revision, 0) + 1
        return counts

    def selected(self) -> str | None:
        """The revision that the stable Service selects."""
        for service in self.cluster.cache.list(SERVICE, NAMESPACE):
            if key_of(service).name == self.name:
                revision: str | None = service["spec"]["selector"].get(labels.REVISION)
                return revision
        return None

    def route(self) -> tuple[str, int] | None:
        """Service and weight of the canary Ingress."""
        for ingress in self.cluster.cache.list(INGRESS, NAMESPACE):
            if is_canary(ingress):
                backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]
                return backend, int(annotations_of(ingress)[CANARY_WEIGHT])
        return None

    # -- when to look

    def before_write(self, line: str) -> None:
        """``verb Kind name``."""
        self.note_traffic()
        verb, kind, name = line.rsplit(" ", 2)
        if verb == "delete" and kind == DEPLOYMENT.kind:
            self._check_removal(name.removeprefix(f"{self.name}-"))

    def after_write(self, _: str) -> None:
        self._check_service()
        self._check_route()
        self.look_again()

    def at_rest(self) -> None:
        """Whenever the controller has seen everything and written everything."""
        route = self.route()
        if route is not None and route[1] > 0 and not self.behind(route[0]):
            self.violations.append(f"weight on {route}, which has no ready endpoint")
        assert self.violations == []

    def look_again(self) -> None:
        """From here on: after the controller's own writes, or when others changed things behind its back."""
        self._selected, self._route = self.selected() or self._selected, self.route()

    def note_traffic(self) -> None:
        """Which revisions requests may reach, by the Services and routes as they stand."""
        route = self.route()
        canary = route[0].removeprefix(f"{self.name}-") if route is not None and route[1] > 0 else None
        self.had_traffic |= {name: self.clock.at for name in (self.selected(), canary) if name is not None}

    # -- what is wrong

    def _check_service(self) -> None:
        before, after = self._selected, self.selected()
        if before is None or after is None or before == after:
            return
        if self.ready_pods(before) > 0 and self.ready_pods(after) == 0:
            self.violations.append(f"stable Service moved from {before} to {after}, which has no ready pod")

    def _check_route(self) -> None:
        before, after = self._route, self.route()
        if after is None:
            return
        if before is not None and before[0] != after[0]:
            self.violations.append(f"the canary route went over from {before} to {after}")
        if after[1] > (before[1] if before is not None else 0) and not self.behind(after[0]):
            self.violations.append(f"weight raised to {after}, which has no ready endpoint")

    def _check_removal(self, revision: str) -> None:
        last = self.had_traffic.get(revision)
        if last is None or self.ready_pods(revision) == 0:
            return
        if (self.clock.at - last).total_seconds() < self.settle_seconds:
            self.violations.append(f"{revision} removed {self.clock.at - last} after requests could reach it")
