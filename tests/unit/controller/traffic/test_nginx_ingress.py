"""ingress-nginx's annotation contract, each of its traps by name."""

from typing import Any

from aurora_controller.traffic.nginx_ingress import CANARY, CANARY_WEIGHT, NginxIngressRouter, route_keys
from aurora_controller.traffic.router import Route, RouteKey

KEY = RouteKey(class_name="nginx", host="models.example", path="/v2/models/housing")
ROUTER = NginxIngressRouter()


def a_route(**given: Any) -> Route:
    defaults: dict[str, Any] = {
        "name": "housing",
        "namespace": "default",
        "key": KEY,
        "stable_service": "housing",
        "canary_service": "housing-2-bbbbbbbb",
        "canary_weight": 10,
        "labels": {"a": "b"},
        "owner": {"uid": "u"},
    }
    return Route(**defaults | given)


def test_weights_survive_the_way_through_manifests() -> None:
    for weight in (0, 1, 50, 100):
        assert ROUTER.weight_in(ROUTER.render(a_route(canary_weight=weight))) == weight


def test_without_a_canary_there_is_one_ingress_without_canary_annotations() -> None:
    (main,) = ROUTER.render(a_route(canary_service=None))
    assert CANARY not in main["metadata"]["annotations"]
    assert ROUTER.weight_in([main]) is None


def test_the_canary_ingress_repeats_class_host_path_and_path_type() -> None:
    main, canary = ROUTER.render(a_route())
    assert route_keys(main) == [KEY]
    for ingress in (main, canary):
        (rule,) = ingress["spec"]["rules"]
        (path,) = rule["http"]["paths"]
        assert (ingress["spec"]["ingressClassName"], rule["host"]) == ("nginx", "models.example")
        assert (path["path"], path["pathType"]) == ("/v2/models/housing", "Prefix")


def test_annotation_values_are_strings_and_the_total_is_left_at_its_default() -> None:
    _, canary = ROUTER.render(a_route())
    annotations = canary["metadata"]["annotations"]
    assert annotations == {CANARY: "true", CANARY_WEIGHT: "10"}


def test_stable_and_canary_never_share_a_service() -> None:
    main, canary = ROUTER.render(a_route())
    backends = [i["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] for i in (main, canary)]
    assert backends == ["housing", "housing-2-bbbbbbbb"]


def test_a_canary_ingress_holds_no_route() -> None:
    _, canary = ROUTER.render(a_route())
    assert route_keys(canary) == []


def test_an_empty_host_routes_any_host() -> None:
    (main,) = ROUTER.render(a_route(key=RouteKey(class_name="nginx", host="", path="/p"), canary_service=None))
    assert "host" not in main["spec"]["rules"][0]
