"""What ingress-nginx makes of a set of Ingresses: the rules of its canary annotations, as an oracle for tests.

Sources: ingress-nginx, internal/ingress/controller (merge of alternative backends) and balancer.lua (choice of one).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aurora_controller.kube.meta import Manifest, annotations_of

PREFIX = "nginx.ingress.kubernetes.io/"
DEFAULT_TOTAL = 100


class InvalidIngress(Exception):
    """The controller would not take it."""


@dataclass(frozen=True)
class Rule:
    """Where one host and path lead."""

    service: str
    canary: str | None = None
    weight: int = 0
    total: int = DEFAULT_TOTAL


def rules(ingresses: Sequence[Manifest]) -> dict[tuple[str, str, str], Rule]:
    """(host, path, pathType) → rule."""
    found: dict[tuple[str, str, str], Rule] = {}
    for ingress in ingresses:
        if not _is_canary(ingress):
            found |= {place: Rule(service=service) for place, service in _paths(ingress).items()}
    for ingress in ingresses:
        if _is_canary(ingress):
            _merge(found, ingress)
    return found


def _merge(found: dict[tuple[str, str, str], Rule], ingress: Manifest) -> None:
    annotations = annotations_of(ingress)
    backends = {rule.service for rule in found.values()}
    for place, service in _paths(ingress).items():
        rule = found.get(place)
        if rule is None:
            continue  # there is no such server or location: the canary is dropped
        if rule.canary is not None:
            raise InvalidIngress("a second canary of one rule is ignored")
        if service in backends:
            continue  # a Service that is a normal backend anywhere is no alternative
        total = int(annotations.get(PREFIX + "canary-weight-total", DEFAULT_TOTAL))
        found[place] = Rule(
            service=rule.service,
            canary=service,
            weight=int(annotations.get(PREFIX + "canary-weight", "0")),
            total=max(total, DEFAULT_TOTAL),
        )


def _is_canary(ingress: Manifest) -> bool:
    annotations = annotations_of(ingress)
    if any(not isinstance(value, str) for value in annotations.values()):
        raise InvalidIngress("annotation values are strings")
    is_canary = annotations.get(PREFIX + "canary") == "true"
    if not is_canary and any(name.startswith(PREFIX + "canary-") for name in annotations):
        raise InvalidIngress("canary configured but not enabled")
    return is_canary


def _paths(ingress: Manifest) -> dict[tuple[str, str, str], str]:
    return {
        (rule.get("host", "_"), path["path"], path["pathType"]): path["backend"]["service"]["name"]
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    }


def choose(rule: Rule, endpoints: Mapping[str, int], dice: int) -> str | None:
    """The Service that answers one request, or None for 503. ``dice`` is from 1 to ``rule.total``."""
    if endpoints.get(rule.service, 0) == 0:
        return None  # an empty stable has no balancer: nobody asks for its alternatives
    if rule.canary is not None and dice <= rule.weight and endpoints.get(rule.canary, 0) > 0:
        return rule.canary
    return rule.service
