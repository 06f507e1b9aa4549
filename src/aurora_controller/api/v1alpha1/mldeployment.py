"""MLDeployment: which model is served, and how a change of it reaches the traffic."""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from aurora_controller.api.model import (
    ATOMIC_LIST,
    INT64,
    OPEN_OBJECT,
    AnnotationValue,
    ApiModel,
    Condition,
    Metadata,
    Placement,
    ResourceName,
    ResourceRequirements,
    Time,
    list_by,
)
from aurora_controller.api.v1alpha1.routing_annotations import HARMLESS_ANNOTATIONS
from aurora_controller.api.v1alpha1.server import Server
from aurora_controller.api.validation import IMMUTABLE_MODEL_NAME, LABEL_PATTERN, MAX_NAME_LENGTH, NAME, Rule, rules

DEFAULT_CANARY_WEIGHT: Final = 10

_VERSION: Final = Rule(
    expression=f"type(self) == int ? self >= 1 : self.matches('{LABEL_PATTERN}')",
    message=(
        "version is latest, a number from 1 without quotes, or an alias of the MLModel (lower-case letters, digits and "
        "dashes, beginning with a letter): correct it"
    ),
)
_WEIGHT_NEEDS_CANARY: Final = Rule(
    expression="self.type == 'Canary' || !has(self.canaryWeight)",
    message="canaryWeight works with type Canary only: remove canaryWeight, or set strategy.type: Canary",
    field=".canaryWeight",
)
_CANARY_NEEDS_INGRESS: Final = Rule(
    expression="self.strategy.type != 'Canary' || self.routing.type == 'Ingress'",
    message=(
        "strategy.type Canary needs something that splits requests: set routing.type: Ingress, or strategy.type: "
        "RollingUpdate"
    ),
    field=".strategy",
)
_TLS_NEEDS_HOST: Final = Rule(
    expression="!has(self.tls) || has(self.host)",
    message="TLS is served for a host: set routing.host, or remove routing.tls",
    field=".tls",
)
_INGRESS_FIELDS: Final = Rule(
    expression="self.type == 'Ingress' || !(has(self.host) || has(self.tls) || has(self.annotations))",
    message=(
        "host, tls and annotations are those of an Ingress: set routing.type: Ingress, or remove them from routing"
    ),
    field=".type",
)


class StrategyType(StrEnum):
    """How a new revision takes over."""

    CANARY = "Canary"
    ROLLING_UPDATE = "RollingUpdate"


class Strategy(ApiModel):
    """How a new revision takes over from the stable one."""

    model_config = ConfigDict(json_schema_extra=rules(_WEIGHT_NEEDS_CANARY))

    type: Annotated[
        StrategyType,
        Field(
            description=(
                "Canary: the new revision gets canaryWeight percent of the requests until it is promoted or aborted. "
                "RollingUpdate: it takes over as soon as it is ready at full capacity."
            ),
        ),
    ] = StrategyType.CANARY
    canary_weight: Annotated[
        int | None,
        Field(
            description=(
                "Percent of the requests that the canary gets while it is on trial; 10 when unset. Only with type "
                "Canary."
            ),
            ge=0,
            le=100,
        ),
    ] = None
    rollback_window_seconds: Annotated[
        int,
        Field(
            description="How long the replaced revision is kept warm after a promotion, in seconds.", ge=0, le=604800
        ),
    ] = 30


class RoutingType(StrEnum):
    """How requests reach the pods from outside."""

    INGRESS = "Ingress"
    NONE = "None"


class Tls(ApiModel):
    """TLS of the Ingress."""

    secret_name: Annotated[
        str, Field(description="Secret with the certificate of the host.", min_length=1, max_length=253)
    ]


class Routing(ApiModel):
    """How requests reach the pods from outside. Only the path prefix /v2/models/<modelName> is routed."""

    model_config = ConfigDict(json_schema_extra=rules(_TLS_NEEDS_HOST, _INGRESS_FIELDS))

    type: Annotated[
        RoutingType,
        Field(
            description=(
                "Ingress: NGINX annotations on a main and a canary Ingress. None: a Service only, so the strategy "
                "cannot be Canary."
            ),
        ),
    ] = RoutingType.INGRESS
    class_name: Annotated[str, Field(description="IngressClass.", min_length=1, max_length=253)] = "nginx"
    host: Annotated[
        str | None,
        Field(
            description="Host name; the controller's host template when unset, and any host when that is empty.",
            max_length=253,
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        ),
    ] = None
    annotations: Annotated[
        dict[str, AnnotationValue],
        Field(
            description=(
                "Extra annotations of the main Ingress: limits, timeouts, CORS, source ranges, redirects to https, "
                "certificates, DNS. Those that decide who gets which request (canary, rewrite, snippets, auth and the "
                "like) are refused."
            ),
            max_length=32,
            json_schema_extra=rules(HARMLESS_ANNOTATIONS),
        ),
    ] = Field(default_factory=dict)
    tls: Annotated[Tls | None, Field(description="Serve the host by TLS.")] = None


class Auth(ApiModel):
    """Who may ask for predictions."""

    secret_name: Annotated[
        str | None,
        Field(
            description=(
                "Secret with one API key per entry. When unset, the controller creates <name>-api-keys with one random"
                " key and never reads it again."
            ),
            min_length=1,
            max_length=253,
        ),
    ] = None


class MLDeploymentSpec(ApiModel):
    """Which model is served, and how a change of it reaches the traffic."""

    model_config = ConfigDict(json_schema_extra=rules(_CANARY_NEEDS_INGRESS))

    model_name: Annotated[
        ResourceName,
        Field(description="The MLModel that is served. Immutable.", json_schema_extra=rules(IMMUTABLE_MODEL_NAME)),
    ]
    version: Annotated[
        int | str,
        Field(
            description="latest (the highest Ready version), a number, or an alias of the MLModel.",
            json_schema_extra={"x-kubernetes-int-or-string": True, "maxLength": MAX_NAME_LENGTH} | rules(_VERSION),
        ),
    ] = "latest"
    stable_version: Annotated[
        int | None,
        Field(
            description=(
                "The version that must be stable: brought to full capacity beside the stable one, then promoted. For "
                "promotion from git."
            ),
            ge=1,
            le=2**31 - 1,
        ),
    ] = None
    replicas: Annotated[int, Field(description="Pods of the stable revision.", ge=1, le=1000)] = 1
    strategy: Annotated[Strategy, Field(description="How a new revision takes over.")] = Strategy()
    routing: Annotated[Routing, Field(description="How requests reach the pods from outside.")] = Routing()
    auth: Annotated[Auth, Field(description="Who may ask for predictions.")] = Auth()
    resources: Annotated[
        ResourceRequirements, Field(description="Compute resources of a server. A change opens a canary.")
    ] = ResourceRequirements(requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": "1Gi"})
    server: Annotated[Server, Field(description="How a pod serves. A change opens a canary.")] = Server()
    placement: Annotated[Placement, Field(description="Where the pods run. A change opens a canary.")] = Placement()
    image: Annotated[
        str | None,
        Field(
            description=(
                "Runtime image of the server; the controller's own at the revision's creation when unset. A change "
                "opens a canary."
            ),
            min_length=1,
            max_length=512,
        ),
    ] = None
    paused: Annotated[
        bool, Field(description="Freezes promotion and new canaries; healing, scaling and abort go on.")
    ] = False


class RevisionStatus(ApiModel):
    """One revision and its part of the traffic."""

    revision: Annotated[
        str, Field(description="<version>-<hash8>; names the Deployment, prefixed by the MLDeployment's name.")
    ]
    version: Annotated[int, Field(description="Version of the model.")]
    digest: Annotated[str, Field(description="Digest of that version.")]
    claim_name: Annotated[str, Field(description="PersistentVolumeClaim that holds the version.")] = "aurora-models"
    size_bytes: Annotated[int, Field(description="Size of the version, in bytes.", json_schema_extra=INT64)] = 0
    image: Annotated[str, Field(description="Runtime image that its pods were created with.")] = ""
    settings: Annotated[
        dict[str, Any],
        Field(
            description=(
                "What the spec set of image, resources, server and placement when the revision was made: its "
                "Deployment can be made again from this."
            ),
            json_schema_extra=OPEN_OBJECT,
        ),
    ] = Field(default_factory=dict)
    replicas: Annotated[int, Field(description="Pods asked for.")] = 0
    ready_replicas: Annotated[int, Field(description="Pods that are ready.")] = 0
    weight: Annotated[int, Field(description="Percent of the requests that it is meant to get.")] = 0
    available: Annotated[
        bool, Field(description="Whether it was available once; until then a newer target replaces it directly.")
    ] = False


class Previous(ApiModel):
    """A revision that no longer gets requests and is kept warm for a while."""

    revision: Annotated[str, Field(description="The revision.")]
    version: Annotated[int, Field(description="Version of the model.")]
    until: Annotated[
        Time,
        Field(description="From then on it leaves, as soon as its pods' counters stand still."),
    ]
    deadline: Annotated[Time, Field(description="By then it leaves, whatever its pods count.")]


class Aborted(ApiModel):
    """A revision that was given up; it is not tried again until the target changes."""

    revision: Annotated[str, Field(description="The revision.")]
    version: Annotated[int, Field(description="Version of the model.")]
    rollout: Annotated[int, Field(description="Number of the rollout that ended.")]
    asked_by: Annotated[str, Field(description="The field that asked for the revision: version or stableVersion.")] = (
        "version"
    )
    at: Annotated[Time, Field(description="When it was given up.")]


class CountedPod(ApiModel):
    """The counter of one pod at the end of the count: the next count goes on from here."""

    uid: Annotated[str, Field(description="The pod's uid.")]
    start_time: Annotated[float, Field(description="Start of its process in Unix seconds: its counter began there.")]
    requests: Annotated[int, Field(description="Requests it had answered.", json_schema_extra=INT64)]


class ObservedTraffic(ApiModel):
    """What the pods themselves counted since the weight was set."""

    canary_percent: Annotated[str, Field(description="Share of the canary, in percent, such as 9.8.")]
    requests: Annotated[
        int, Field(description="Requests of both revisions that were counted.", json_schema_extra=INT64)
    ]
    canary_requests: Annotated[int, Field(description="Those that the canary answered.", json_schema_extra=INT64)] = 0
    since: Annotated[Time, Field(description="Begin of the count.")]
    at: Annotated[Time, Field(description="End of the count.")]
    pods: Annotated[list[CountedPod], Field(description="The counters behind it.", json_schema_extra=ATOMIC_LIST)] = (
        Field(default_factory=list)
    )


class Traffic(ApiModel):
    """How requests are split: as asked and as counted."""

    desired: Annotated[dict[str, int], Field(description="Percent by role: stable and canary.")] = Field(
        default_factory=dict
    )
    since: Annotated[Time | None, Field(description="When the weights were last changed.")] = None
    observed: Annotated[
        ObservedTraffic | None, Field(description="What the pods counted while a decision depended on it.")
    ] = None


class RolloutPhase(StrEnum):
    """Where a change of revision stands."""

    IDLE = "Idle"
    STARTING = "Starting"
    CANARY = "Canary"
    SCALING = "Scaling"
    SWITCHING = "Switching"
    SETTLING = "Settling"
    UNROUTING = "Unrouting"
    ABORTING = "Aborting"


class LastRequest(ApiModel):
    """The last promote or abort annotation and what became of it."""

    action: Annotated[str, Field(description="promote or abort.")]
    value: Annotated[str, Field(description="The annotation's value.")]
    accepted: Annotated[bool, Field(description="Whether it counted.")]
    message: Annotated[str, Field(description="Why, and what to write instead.")] = ""


class HistoryEntry(ApiModel):
    """How one rollout ended."""

    rollout: Annotated[int, Field(description="Number of the rollout.")]
    revision: Annotated[str, Field(description="The revision it was about.")]
    version: Annotated[int, Field(description="Version of the model.")]
    outcome: Annotated[str, Field(description="Promoted, Aborted or Replaced.")]
    reason: Annotated[str, Field(description="Who or what decided.")]
    at: Annotated[Time, Field(description="When it ended.")]


class MLDeploymentStatus(ApiModel):
    """What serves now, what is on trial, and what is asked of people."""

    observed_generation: Annotated[int | None, Field(description="The generation that this status is about.")] = None
    conditions: Annotated[
        list[Condition],
        Field(
            description=(
                "Ready, Progressing, CanaryHealthy, TrafficVerified, RuntimeUpdateAvailable; Reconciling and Stalled "
                "appear only while true."
            ),
            json_schema_extra=list_by("type"),
        ),
    ] = Field(default_factory=list)
    rollout: Annotated[
        int, Field(description="Number of the current or last rollout; part of promote and abort requests.")
    ] = 0
    phase: Annotated[RolloutPhase, Field(description="Where the rollout stands.")] = RolloutPhase.IDLE
    phase_since: Annotated[Time | None, Field(description="When this phase began.")] = None
    stable: Annotated[RevisionStatus | None, Field(description="The revision behind the stable Service.")] = None
    canary: Annotated[RevisionStatus | None, Field(description="The revision on trial.")] = None
    decision: Annotated[str | None, Field(description="Why the present rollout is being promoted or given up.")] = None
    stable_lost_since: Annotated[Time | None, Field(description="Since when the stable revision has no ready pod.")] = (
        None
    )
    previous: Annotated[
        list[Previous],
        Field(
            description="Revisions without traffic: kept warm for the rollback window, then drained.",
            json_schema_extra=ATOMIC_LIST,
        ),
    ] = Field(default_factory=list)
    aborted: Annotated[Aborted | None, Field(description="The revision that is not tried again.")] = None
    traffic: Annotated[Traffic, Field(description="How requests are split.")] = Traffic()
    weight: Annotated[
        str | None, Field(description="Canary's weight asked and counted, for the column, such as 10% (9.8%).")
    ] = None
    url: Annotated[str | None, Field(description="Where predictions are asked for.")] = None
    last_request: Annotated[LastRequest | None, Field(description="The last promote or abort request.")] = None
    history: Annotated[
        list[HistoryEntry],
        Field(description="The last 10 rollouts, newest last.", json_schema_extra=ATOMIC_LIST),
    ] = Field(default_factory=list)


class MLDeployment(ApiModel):
    """Serves a model and changes it safely."""

    model_config = ConfigDict(json_schema_extra=rules(NAME))

    metadata: Metadata
    spec: MLDeploymentSpec
    status: MLDeploymentStatus = MLDeploymentStatus()
