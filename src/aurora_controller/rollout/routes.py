"""Which route an MLDeployment asks for, and who holds it. Pure readings of the cache."""

from aurora_controller.api import labels
from aurora_controller.api.reading import Unreadable, read
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, MODEL_NAME
from aurora_controller.api.v1alpha1.mldeployment import Routing, RoutingType
from aurora_controller.api.v1alpha1.readings import RouteReading
from aurora_controller.kube.meta import INGRESS, Manifest, ObjectKey, is_deleting, key_of
from aurora_controller.kube.ownership import is_controlled_by
from aurora_controller.kube.reconcile import ObjectReader
from aurora_controller.traffic.router import RouteKey, Router, model_of, model_path


def route_of(cache: ObjectReader, manifest: Manifest, *, router: Router, host_template: str) -> RouteKey | None:
    """None without routing. ``host_template`` may hold ``{name}`` and ``{namespace}``; empty routes any host.

    One whose spec cannot be read asks for the route that it has, as long as it has it: nobody may take what serves,
    and nobody waits for what it would ask for once it is mended.
    """
    content = read(RouteReading, manifest)
    if isinstance(content, Unreadable):
        return held_route(cache, manifest, router)
    routing = content.spec.routing
    if routing.type == RoutingType.NONE:
        return None
    key = key_of(manifest)
    return RouteKey(
        class_name=routing.class_name or Routing.model_fields["class_name"].default,
        host=routing.host or host_template.format(name=key.name, namespace=key.namespace),
        path=model_path(content.spec.model_name),
    )


def holder_of(
    cache: ObjectReader, manifest: Manifest, route: RouteKey, *, router: Router, host_template: str
) -> ObjectKey | None:
    """Another MLDeployment that holds the route: one that has it already, else the older one, else by name."""
    contenders = [manifest, *rivals_of(cache, manifest, route, router=router, host_template=host_template)]
    first = min(contenders, key=lambda one: (not _has(cache, one, route, router), _created(one), key_of(one)))
    return None if first is manifest else key_of(first)


def rivals_of(
    cache: ObjectReader, manifest: Manifest, route: RouteKey, *, router: Router, host_template: str
) -> list[Manifest]:
    """Other MLDeployments, of any watched namespace, that ask for the same route."""
    # The path is made of the model's name. One whose own name of it cannot be read still has its Ingress.
    model = model_of(route.path)
    found = {key_of(one): one for one in cache.with_field(ML_DEPLOYMENT, MODEL_NAME, model)}
    for ingress in cache.with_label(INGRESS, labels.MODEL, model):
        other = cache.get(ML_DEPLOYMENT, key_of(ingress))
        if other is not None:
            found.setdefault(key_of(other), other)
    found.pop(key_of(manifest), None)
    return [
        other
        for other in found.values()
        if not is_deleting(other) and route_of(cache, other, router=router, host_template=host_template) == route
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
