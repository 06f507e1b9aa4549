"""Weights as ingress-nginx's canary annotations: a main Ingress and a canary one of the same host and path.

Understood by ingress-nginx and by Traefik from 3.7. What the dialect demands, and how it is met:

- The canary Ingress repeats class, host, path and pathType of the main one. There is one per route: a second is
  ignored, and a canary Ingress alone routes nothing, so it never exists without the main one.
- Shaping is keyed by Service: a canary's Service belongs to one revision and is a backend of nothing else.
- ``canary`` is ``"true"``, all values are strings, ``canary-weight-total`` stays unset (a total below 100 is ignored).
- A canary without endpoints gets nothing and nobody is told; an empty stable answers 503 to all, whatever the weight.
  So weights follow ready endpoints, and what arrived is counted by the pods.

Sources: ingress-nginx, internal/ingress/annotations/canary and rootfs/etc/nginx/lua/balancer.lua; Traefik,
providers.kubernetesIngressNGINX.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aurora_controller.api.model import ApiModel
from aurora_controller.api.reading import Unreadable, read
from aurora_controller.kube.meta import INGRESS, Manifest, annotations_of
from aurora_controller.traffic.router import SERVICE_PORT_NAME, Capabilities, Route, RouteKey, Split

PREFIX: Final = "nginx.ingress.kubernetes.io/"
CANARY: Final = PREFIX + "canary"
CANARY_WEIGHT: Final = PREFIX + "canary-weight"


class _Path(ApiModel):
    path: str | None = None


class _Paths(ApiModel):
    paths: list[_Path] | None = None


class _Rule(ApiModel):
    host: str | None = None
    http: _Paths | None = None


class _Spec(ApiModel):
    ingress_class_name: str | None = None
    rules: list[_Rule] | None = None


class _Ingress(ApiModel):
    """What an Ingress tells of its routes: others than its owner read it, too."""

    spec: _Spec


class NginxIngressRouter:
    """Renders networking.k8s.io/v1 Ingresses, without owner and labels."""

    capabilities = Capabilities(weights=True, acknowledges=False, stable_may_be_empty=False)

    def render(self, route: Route) -> Sequence[Manifest]:
        split = route.split
        # The user's annotations come first: none of them can turn the main Ingress into a canary.
        chosen = {name: value for name, value in route.annotations.items() if not name.startswith(CANARY)}
        main = _ingress(route, name=route.name, service=split.stable_service, annotations=chosen)
        if route.tls_secret is not None:
            main["spec"]["tls"] = [{"hosts": [route.key.host], "secretName": route.tls_secret}]
        if split.canary_service is None:
            return [main]
        weight = {CANARY: "true", CANARY_WEIGHT: str(split.canary_weight)}
        return [main, _ingress(route, name=canary_name(route.name), service=split.canary_service, annotations=weight)]

    def split_of(self, manifests: Sequence[Manifest]) -> Split | None:
        services = {is_canary(manifest): _service_of(manifest) for manifest in manifests}
        if not services:
            return None
        weight = max((_weight_of(manifest) for manifest in manifests if is_canary(manifest)), default=0)
        return Split(stable_service=services.get(False, ""), canary_service=services.get(True), canary_weight=weight)

    def keys_held_by(self, manifest: Manifest) -> Sequence[RouteKey]:
        content = read(_Ingress, manifest)
        if is_canary(manifest) or isinstance(content, Unreadable):
            return []
        return [
            RouteKey(class_name=content.spec.ingress_class_name or "", host=rule.host or "", path=path.path or "")
            for rule in content.spec.rules or ()
            for path in (rule.http.paths if rule.http is not None else None) or ()
        ]


def canary_name(name: str) -> str:
    """Name of the canary Ingress beside the main one."""
    return f"{name}-canary"


def is_canary(manifest: Manifest) -> bool:
    return annotations_of(manifest).get(CANARY) == "true"


def _weight_of(manifest: Manifest) -> int:
    """A weight that cannot be read is taken for the whole: traffic may flow until it is put right."""
    text = annotations_of(manifest).get(CANARY_WEIGHT, "0")
    return min(100, int(text)) if text.isdecimal() else 100


def _service_of(manifest: Manifest) -> str:
    for rule in manifest["spec"].get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            name: str = ((path.get("backend") or {}).get("service") or {}).get("name", "")
            return name
    return ""


def _ingress(route: Route, *, name: str, service: str, annotations: Mapping[str, str]) -> Manifest:
    backend = {"service": {"name": service, "port": {"name": SERVICE_PORT_NAME}}}
    rule: dict[str, Any] = {"http": {"paths": [{"path": route.key.path, "pathType": "Prefix", "backend": backend}]}}
    if route.key.host:
        rule["host"] = route.key.host
    return {
        "apiVersion": INGRESS.api_version,
        "kind": INGRESS.kind,
        "metadata": {"name": name, "namespace": route.namespace, "annotations": dict(annotations)},
        "spec": {"ingressClassName": route.key.class_name, "rules": [rule]},
    }
