"""What is observed, reduced to what the next step of a rollout depends on. Plain values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aurora_controller.api.v1alpha1.mldeployment import HistoryEntry
from aurora_controller.rollout.requests import Asked
from aurora_controller.rollout.revision import Revision
from aurora_controller.rollout.target import BY_STABLE_VERSION, BY_VERSION
from aurora_controller.traffic.router import Split


@dataclass(frozen=True, kw_only=True)
class RevisionFacts:
    """One revision's pods, as different eyes see them."""

    ready: int = 0
    """Ready endpoints of its own Service: of the stable Service for stable, of the canary's for the canary."""
    available: int = 0
    """Pods that its Deployment calls available: they have been ready for a moment."""
    pods_ready: int = 0
    """Ready pods, behind any Service or none."""
    asked: int = 0
    """Pods that its Deployment asks for."""
    is_available: bool = False
    """Whether it is available, or was once, as its Deployment tells."""
    is_crashing: bool = False

    @property
    def has_served(self) -> bool:
        """Whether requests may have reached it: such a revision is not replaced without a rollout."""
        return self.is_available or (self.ready > 0 and not self.is_crashing)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that decides, beside the state."""

    target: Revision | None = None
    """What is asked for; None when it cannot be had, and then nothing moves."""
    asked_by: str = BY_VERSION
    first: Revision | None = None
    """What a deployment without history begins with."""
    serving: Revision | None = None
    """What the stable Service selects, when its Deployment exists: history that a lost status left behind."""
    routed_canary: Revision | None = None
    """What an existing canary route leads to, when its Deployment exists."""
    selected: str | None = None
    """The revision that the stable Service selects."""
    is_switched: bool = False
    """Only the canary's pods are behind the stable Service, and some are ready."""
    route: Split | None = None
    """What the existing routing objects ask for."""
    route_leads_to_canary: bool = False
    """Whether the canary route leads to the present canary."""
    stable: RevisionFacts = field(default_factory=RevisionFacts)
    canary: RevisionFacts = field(default_factory=RevisionFacts)
    existing: Mapping[str, RevisionFacts] = field(default_factory=dict)
    """Revisions that have a Deployment."""
    versions: Mapping[str, int] = field(default_factory=dict)
    """Their model versions."""
    quiet: frozenset[str] = frozenset()
    """Revisions whose counters stood still between two scrapes."""
    can_split: bool = True
    """Whether there is a router between stable and canary."""
    is_rolling: bool = False
    """Strategy RollingUpdate."""
    weight: int = 10
    """Percent that the spec gives a canary."""
    replicas: int = 1
    asked: Asked = field(default_factory=Asked)
    history: Sequence[HistoryEntry] = ()
    settle_seconds: float = 5.0
    rollback_window_seconds: float = 30.0

    @property
    def is_from_git(self) -> bool:
        return self.asked_by == BY_STABLE_VERSION

    @property
    def is_direct(self) -> bool:
        """Whether the target takes over without a trial as soon as it is ready."""
        return self.is_rolling or self.is_from_git or not self.can_split

    @property
    def has_canary_route(self) -> bool:
        return self.route is not None and self.route.canary_service is not None

    @property
    def routed_weight(self) -> int:
        """The weight that the present canary has just now."""
        return self.route.canary_weight if self.route is not None and self.route_leads_to_canary else 0

    @property
    def canary_pods(self) -> int:
        """Pods that a canary on trial needs for its share."""
        return max(1, math.ceil(self.replicas * self.weight / 100))

    @property
    def full_capacity(self) -> int:
        """Pods that it takes to stand in for stable."""
        return max(self.replicas, self.stable.asked)

    def canary_has(self, pods: int) -> bool:
        """Whether so many of its pods are ready behind its Service, and have been for a moment."""
        return self.canary.ready >= pods and self.canary.available >= pods and not self.canary.is_crashing
