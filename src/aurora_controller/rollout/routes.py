"""Which route an MLDeployment asks for, and who holds it. Pure readings of the cache."""

from typing import Any

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, MODEL_NAME
from aurora_controller.api.v1alpha1.mldeployment import Routing, RoutingType
from aurora_controller.kube.meta import INGRESS, Manifest, ObjectKey, is_deleting, key_of
from aurora_controller.kube.ownership import is_controlled_by
from aurora_controller.kube.reconcile import ObjectReader
from aurora_controller.traffic.router import RouteKey, Router, model_path


def route_of(manifest: Manifest, host_template: str) -> RouteKey | None:
    """None without routing. ``host_template`` may hold ``{name}`` and ``{namespace}``; empty routes any host."""
    spec: dict[str, Any] = manifest["spec"]
    routing: dict[str, Any] = spec.get("routing") or {}
    if routing.get("type") == RoutingType.NONE:
        return None
    key = key_of(manifest)
    return RouteKey(
        class_name=routing.get("className") or Routing.model_fields["class_name"].default,
        host=routing.get("host") or host_template.format(name=key.name, namespace=key.namespace),
        path=model_path(spec["modelName"]),
    )


def holder_of(
    cache: ObjectReader, manifest: Manifest, route: RouteKey, *, router: Router, host_template: str
) -> ObjectKey | None:
    """Another MLDeployment that holds the route: one that has it already, else the older one, else by name."""
    contenders = [manifest, *rivals_of(cache, manifest, route, host_template=host_template)]
    first = min(contenders, key=lambda one: (not _has(cache, one, route, router), _created(one), key_of(one)))
    return None if first is manifest else key_of(first)


def rivals_of(cache: ObjectReader, manifest: Manifest, route: RouteKey, *, host_template: str) -> list[Manifest]:
    """Other MLDeployments, of any watched namespace, that ask for the same route."""
    own, model = key_of(manifest), manifest["spec"]["modelName"]
    return [
        other
        # The path is made of the model's name.
        for other in cache.with_field(ML_DEPLOYMENT, MODEL_NAME, model)
        if key_of(other) != own and not is_deleting(other) and route_of(other, host_template) == route
    ]


def held_route(cache: ObjectReader, manifest: Manifest, router: Router) -> RouteKey | None:
    """The route that its existing main Ingress has."""
    ingress = cache.get(INGRESS, key_of(manifest))
    if ingress is None or not is_controlled_by(ingress, manifest):
        return None
    return next(iter(router.keys_held_by(ingress)), None)


def _has(cache: ObjectReader, manifest: Manifest, route: RouteKey, router: Router) -> bool:
    return held_route(cache, manifest, router) == route


def _created(manifest: Manifest) -> str:
    created: str = manifest["metadata"].get("creationTimestamp") or ""
    return created
