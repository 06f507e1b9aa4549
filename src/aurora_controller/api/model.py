"""What all of Aurora's API models share: camelCase JSON, frozen values, documented fields.

Models are used at the edge of a reconcile only; the cache holds plain JSON.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """Frozen; reads objects of newer schemas too, so unknown keys are ignored (the API server prunes them)."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, alias_generator=to_camel)

    def to_json(self) -> dict[str, Any]:
        """Plain camelCase JSON; unset optional values are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Preserved(ApiModel):
    """A Kubernetes structure taken over as it is: the schema keeps its unknown fields."""

    model_config = ConfigDict(extra="allow")


ResourceName = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
"""A DNS-1035 label of at most 40 characters: children's names add to it."""


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
    last_transition_time: Annotated[
        str | None, Field(description="When the status last changed.", json_schema_extra={"format": "date-time"})
    ] = None
    observed_generation: Annotated[int | None, Field(description="The generation that this condition is about.")] = None


class ResourceRequirements(ApiModel):
    """Compute resources of a container, as in a pod."""

    requests: Annotated[dict[str, int | str], Field(description="What the pod is scheduled by.", max_length=16)] = (
        Field(default_factory=dict)
    )
    limits: Annotated[dict[str, int | str], Field(description="What the container may use at most.", max_length=16)] = (
        Field(default_factory=dict)
    )


class LocalObjectReference(ApiModel):
    """An object of the same namespace."""

    name: Annotated[str, Field(description="Name of the object.", min_length=1, max_length=253)]


class Placement(ApiModel):
    """Where the pods run and under which identity; the same words as in a pod."""

    node_selector: Annotated[dict[str, str], Field(description="Labels that a node must have.", max_length=32)] = Field(
        default_factory=dict
    )
    tolerations: Annotated[
        list[Preserved],
        Field(
            description="Taints that the pods tolerate, as in a pod.",
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = Field(default_factory=list)
    affinity: Annotated[Preserved | None, Field(description="Affinity and anti-affinity, as in a pod.")] = None
    topology_spread_constraints: Annotated[
        list[Preserved],
        Field(
            description="How the pods spread over zones or nodes, as in a pod.",
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = Field(default_factory=list)
    priority_class_name: Annotated[str | None, Field(description="PriorityClass of the pods.", max_length=253)] = None
    service_account_name: Annotated[
        str | None, Field(description="ServiceAccount of the pods; its token is not mounted.", max_length=253)
    ] = None
    image_pull_secrets: Annotated[
        list[LocalObjectReference],
        Field(
            description="Secrets to pull the image with.",
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = Field(default_factory=list)
    labels: Annotated[
        dict[str, str], Field(description="Extra labels of the pods; Aurora's own win.", max_length=32)
    ] = Field(default_factory=dict)
    annotations: Annotated[dict[str, str], Field(description="Extra annotations of the pods.", max_length=32)] = Field(
        default_factory=dict
    )


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
