"""Validation rules in CEL, as the API server evaluates them, declared beside the fields they guard.

Every message names the remedy: it is all that the author of a refused object gets to read.
Source: Kubernetes, "Custom Resource Definition versioning: validation rules" (``x-kubernetes-validations``).
"""

from dataclasses import dataclass
from typing import Any, Final

from aurora_controller.api.labels import GROUP

LABEL_PATTERN: Final = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""A DNS-1035 label."""
MAX_NAME_LENGTH: Final = 40
"""The names of children are made of their owner's and must stay below 63 characters."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """``expression`` must be true of ``self``; with ``oldSelf`` in it, of every change."""

    expression: str
    message: str
    field: str = ""
    """The field below ``self`` that the error is about, such as ``.strategy.canaryWeight``."""
    message_expression: str = ""
    """CEL that gives the message where it should quote the value; ``message`` stands in when it fails."""
    only_at_creation: bool = False
    """Not asked of updates, for rules of the root on what never changes: those of a status are updates of it, too."""


def rules(*given: Rule) -> dict[str, Any]:
    """Schema keyword for a field's or model's ``json_schema_extra``."""
    return {"x-kubernetes-validations": [_keyword(rule) for rule in given]}


def _keyword(rule: Rule) -> dict[str, Any]:
    keyword = {
        "rule": f"oldSelf.hasValue() || ({rule.expression})" if rule.only_at_creation else rule.expression,
        "optionalOldSelf": rule.only_at_creation,
        "message": rule.message,
        "messageExpression": rule.message_expression,
        "fieldPath": rule.field,
    }
    return {key: value for key, value in keyword.items() if value}


NAME: Final = Rule(
    expression=f"size(self.metadata.name) <= {MAX_NAME_LENGTH} && self.metadata.name.matches('{LABEL_PATTERN}')",
    message=(
        f"metadata.name must have at most {MAX_NAME_LENGTH} characters, only lower-case letters, digits and dashes, "
        "begin with a letter and end with a letter or digit, because the names of pods and Services are made of it: "
        "choose another name"
    ),
    field=".metadata",
    only_at_creation=True,
)
"""For the root of a kind whose children are named after it."""

IMMUTABLE_MODEL_NAME: Final = Rule(
    expression="self == oldSelf",
    message="modelName is immutable: create another object for another model",
)

NO_AURORA_KEYS: Final = Rule(
    expression=f"self.all(key, !key.startsWith('{GROUP}/'))",
    message=f"keys that begin with {GROUP}/ are Aurora's own: use another prefix",
)

RESOURCE_KEYS: Final = Rule(
    expression=(
        "self.all(key, key in ['cpu', 'memory', 'ephemeral-storage'] "
        "|| key.startsWith('hugepages-') || key.contains('/'))"
    ),
    message=(
        "a resource is cpu, memory, ephemeral-storage, hugepages-<size> or an extended resource such as "
        "nvidia.com/gpu: correct its name"
    ),
)

QUANTITIES: Final = Rule(
    expression="self.all(key, type(self[key]) == int ? self[key] >= 0 : isQuantity(self[key]))",
    message="an amount is a quantity such as 500m, 2 or 1Gi: correct it",
)

REQUESTS_WITHIN_LIMITS: Final = Rule(
    expression=(
        "!has(self.requests) || !has(self.limits) || self.requests.all(key, !(key in self.limits) "
        "|| quantity(string(self.requests[key])).compareTo(quantity(string(self.limits[key]))) <= 0)"
    ),
    message="a request is greater than its limit: lower resources.requests or raise resources.limits",
)
