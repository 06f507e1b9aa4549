"""Weights as ingress-nginx's canary annotations: a main Ingress and a canary one of the same host and path.

Understood by ingress-nginx and by Traefik from 3.7. What the annotations demand, and how each demand is met:
the canary Ingress repeats host, path and pathType of the main one; its Service belongs to one revision and is never
a backend of anything else, since shaping is keyed by Service; only one canary Ingress exists per rule, since a second
is ignored; ``canary-weight-total`` stays unset, since a total below 100 is ignored.
Source: ingress-nginx, internal/ingress/annotations/canary; Traefik, providers.kubernetesingressnginx.
"""

from collections.abc import Sequence
from typing import Any, Final

from aurora_controller.kube.meta import INGRESS, Manifest, annotations_of
from aurora_controller.traffic.router import Route, RouteKey

PREFIX: Final = "nginx.ingress.kubernetes.io/"
CANARY: Final = PREFIX + "canary"
CANARY_WEIGHT: Final = PREFIX + "canary-weight"
SERVICE_PORT_NAME: Final = "http"


class NginxIngressRouter:
    """Renders networking.k8s.io/v1 Ingresses."""

    def render(self, route: Route) -> Sequence[Manifest]:
        main = _ingress(route, name=route.name, service=route.stable_service, annotations=dict(route.annotations))
        if route.tls_secret is not None:
            main["spec"]["tls"] = [{"hosts": [route.key.host], "secretName": route.tls_secret}]
        if route.canary_service is None:
            return [main]
        split = {CANARY: "true", CANARY_WEIGHT: str(route.canary_weight)}
        return [main, _ingress(route, name=canary_name(route.name), service=route.canary_service, annotations=split)]

    def weight_in(self, manifests: Sequence[Manifest]) -> int | None:
        for manifest in manifests:
            annotations = annotations_of(manifest)
            if annotations.get(CANARY) == "true":
                text = annotations.get(CANARY_WEIGHT, "0")
                return int(text) if text.isdecimal() else 0
        return None


def canary_name(name: str) -> str:
    """Name of the canary Ingress beside the main one."""
    return f"{name}-canary"


def route_keys(ingress: Manifest) -> list[RouteKey]:
    """What a main Ingress holds; a canary Ingress holds nothing of its own."""
    if annotations_of(ingress).get(CANARY) == "true":
        return []
    spec = ingress["spec"]
    return [
        RouteKey(class_name=spec.get("ingressClassName", ""), host=rule.get("host", ""), path=path.get("path", ""))
        for rule in spec.get("rules") or ()
        for path in (rule.get("http") or {}).get("paths") or ()
    ]


def _ingress(route: Route, *, name: str, service: str, annotations: dict[str, str]) -> Manifest:
    backend = {"service": {"name": service, "port": {"name": SERVICE_PORT_NAME}}}
    rule: dict[str, Any] = {"http": {"paths": [{"path": route.key.path, "pathType": "Prefix", "backend": backend}]}}
    if route.key.host:
        rule["host"] = route.key.host
    return {
        "apiVersion": INGRESS.api_version,
        "kind": INGRESS.kind,
        "metadata": {
            "name": name,
            "namespace": route.namespace,
            "labels": dict(route.labels),
            "annotations": annotations,
            "ownerReferences": [route.owner],
        },
        "spec": {"ingressClassName": route.key.class_name, "rules": [rule]},
    }
