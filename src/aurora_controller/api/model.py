"""What all of Aurora's API models share: camelCase JSON, frozen values, documented fields.

Models are used at the edge of a reconcile only; the cache holds plain JSON.
"""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from aurora_controller.api.validation import (
    LABEL_PATTERN,
    MAX_NAME_LENGTH,
    NO_AURORA_KEYS,
    QUANTITIES,
    REQUESTS_WITHIN_LIMITS,
    RESOURCE_KEYS,
    rules,
)
from aurora_controller.kube.clock import parse_time


class ApiModel(BaseModel):
    """Frozen; reads objects of newer schemas too, so unknown keys are ignored (the API server prunes them)."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, alias_generator=to_camel)

    def to_json(self) -> dict[str, Any]:
        """Plain camelCase JSON; unset optional values are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Preserved(ApiModel):
    """The same fields as in a pod."""

    # The schema keeps whatever a newer Kubernetes adds, so that Aurora does not lag behind it.

    model_config = ConfigDict(extra="allow")


ResourceName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, pattern=LABEL_PATTERN)]
"""A DNS-1035 label of at most 40 characters: children's names add to it."""

LabelValue = Annotated[str, Field(description="Value of the label.", max_length=63)]
AnnotationValue = Annotated[str, Field(description="Value of the annotation.", max_length=16384)]


def _checked_time(text: str) -> str:
    parse_time(text)
    return text


Time = Annotated[str, AfterValidator(_checked_time), Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, as text."""

ATOMIC_LIST: Final[dict[str, Any]] = {"x-kubernetes-list-type": "atomic"}
"""Written whole: for lists that a person writes and nobody merges, and for what only the controller writes."""
OPEN_OBJECT: Final[dict[str, Any]] = {"x-kubernetes-preserve-unknown-fields": True}
"""Any JSON below it is kept as it is."""
SET_LIST: Final[dict[str, Any]] = {"x-kubernetes-list-type": "set"}
INT64: Final[dict[str, Any]] = {"format": "int64"}


def list_by(key: str) -> dict[str, Any]:
    """A list whose items are told apart, and merged, by ``key``."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class Metadata(ApiModel):
    """The part of ObjectMeta that decisions read."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Condition(ApiModel):
    """One observation of an object's state, as metav1.Condition."""

    type: Annotated[str, Field(description="Name of the condition, in CamelCase.")]
    status: Annotated[
        str, Field(description="True, False or Unknown.", json_schema_extra={"enum": ["True", "False", "Unknown"]})
    ]
    reason: Annotated[str, Field(description="One CamelCase word that programs can act on.")] = ""
    message: Annotated[str, Field(description="What happened and who acts next, for people.")] = ""
    last_transition_time: Annotated[Time | None, Field(description="When the status last changed.")] = None
    observed_generation: Annotated[int | None, Field(description="The generation that this condition is about.")] = None


Quantity = Annotated[
    int | str,
    Field(
        description="An amount, such as 500m, 2 or 1Gi.",
        json_schema_extra={"x-kubernetes-int-or-string": True, "maxLength": 32},
    ),
]


class ResourceRequirements(ApiModel):
    """Compute resources of a container, as in a pod."""

    model_config = ConfigDict(json_schema_extra=rules(REQUESTS_WITHIN_LIMITS))

    requests: Annotated[
        dict[str, Quantity],
        Field(
            description="What the pod is scheduled by, such as cpu: 500m and memory: 1Gi.",
            max_length=16,
            json_schema_extra=rules(RESOURCE_KEYS, QUANTITIES),
        ),
    ] = Field(default_factory=dict)
    limits: Annotated[
        dict[str, Quantity],
        Field(
            description="What the container may use at most.",
            max_length=16,
            json_schema_extra=rules(RESOURCE_KEYS, QUANTITIES),
        ),
    ] = Field(default_factory=dict)


class LocalObjectReference(ApiModel):
    """An object of the same namespace."""

    name: Annotated[str, Field(description="Name of the object.", min_length=1, max_length=253)]


class Placement(ApiModel):
    """Where the pods run and under which identity; the same words as in a pod."""

    node_selector: Annotated[
        dict[str, LabelValue], Field(description="Labels that a node must have.", max_length=32)
    ] = Field(default_factory=dict)
    tolerations: Annotated[
        list[Preserved],
        Field(
            description="Taints that the pods tolerate, as in a pod.",
            max_length=32,
            json_schema_extra=ATOMIC_LIST,
        ),
    ] = Field(default_factory=list)
    affinity: Annotated[Preserved | None, Field(description="Affinity and anti-affinity, as in a pod.")] = None
    topology_spread_constraints: Annotated[
        list[Preserved],
        Field(
            description="How the pods spread over zones or nodes, as in a pod.",
            max_length=16,
            json_schema_extra=ATOMIC_LIST,
        ),
    ] = Field(default_factory=list)
    priority_class_name: Annotated[
        str | None, Field(description="PriorityClass of the pods.", min_length=1, max_length=253)
    ] = None
    service_account_name: Annotated[
        str | None,
        Field(description="ServiceAccount of the pods; its token is not mounted.", min_length=1, max_length=253),
    ] = None
    image_pull_secrets: Annotated[
        list[LocalObjectReference],
        Field(
            description="Secrets to pull the image with.",
            max_length=16,
            json_schema_extra=ATOMIC_LIST,
        ),
    ] = Field(default_factory=list)
    labels: Annotated[
        dict[str, LabelValue],
        Field(
            description="Extra labels of the pods; where Aurora has a label of the same name, its own wins.",
            max_length=32,
            json_schema_extra=rules(NO_AURORA_KEYS),
        ),
    ] = Field(default_factory=dict)
    annotations: Annotated[
        dict[str, AnnotationValue],
        Field(description="Extra annotations of the pods.", max_length=32, json_schema_extra=rules(NO_AURORA_KEYS)),
    ] = Field(default_factory=dict)


class Storage(ApiModel):
    """The ReadWriteMany claim that holds the models of a namespace."""

    claim_name: Annotated[
        str,
        Field(
            description="PersistentVolumeClaim (ReadWriteMany) in this namespace that holds the models.",
            min_length=1,
            max_length=253,
        ),
    ] = "aurora-models"
