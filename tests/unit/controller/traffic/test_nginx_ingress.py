"""Weights as canary annotations, held against what ingress-nginx makes of them."""

from collections import Counter
from typing import Any

import pytest

from aurora_controller.kube.meta import annotations_of
from aurora_controller.traffic.nginx_ingress import CANARY, CANARY_WEIGHT, NginxIngressRouter, canary_name, is_canary
from aurora_controller.traffic.router import Route, RouteKey, Split, model_path
from tests.unit.controller.traffic.balancer import PREFIX, choose, rules

KEY = RouteKey(class_name="nginx", host="models.example", path=model_path("housing"))
PLACE = ("models.example", "/v2/models/housing", "Prefix")
ROUTER = NginxIngressRouter()


def a_route(*, weight: int | None = 10, **given: Any) -> Route:
    canary = "housing-2-abc" if weight is not None else None
    split = Split(stable_service="housing", canary_service=canary, canary_weight=weight or 0)
    fields: dict[str, Any] = {"name": "housing", "namespace": "team", "key": KEY, "split": split} | given
    return Route(**fields)


@pytest.mark.parametrize("weight", [None, 0, 1, 50, 100])
def test_a_split_survives_the_way_through_manifests(weight: int | None) -> None:
    route = a_route(weight=weight)
    assert ROUTER.split_of(ROUTER.render(route)) == route.split


def test_no_manifests_route_nothing() -> None:
    assert ROUTER.split_of([]) is None


@pytest.mark.parametrize("weight", [0, 10, 100])
def test_the_canary_gets_its_percent_of_the_requests(weight: int) -> None:
    rule = rules(ROUTER.render(a_route(weight=weight)))[PLACE]
    answers = Counter(choose(rule, {"housing": 2, "housing-2-abc": 1}, dice) for dice in range(1, rule.total + 1))
    assert answers == {name: n for name, n in (("housing", 100 - weight), ("housing-2-abc", weight)) if n}


def test_the_order_of_the_ingresses_does_not_matter() -> None:
    manifests = ROUTER.render(a_route())
    assert rules(list(reversed(manifests))) == rules(manifests)


def test_a_canary_without_endpoints_gets_nothing_and_so_proves_nothing() -> None:
    """The reason why weights follow ready endpoints and what arrived is counted by the pods."""
    rule = rules(ROUTER.render(a_route(weight=100)))[PLACE]
    assert choose(rule, {"housing": 2, "housing-2-abc": 0}, 1) == "housing"


def test_an_empty_stable_answers_nobody_even_at_weight_100() -> None:
    """The reason why the stable Service never points at nothing."""
    rule = rules(ROUTER.render(a_route(weight=100)))[PLACE]
    assert choose(rule, {"housing": 0, "housing-2-abc": 1}, 1) is None
    assert not ROUTER.capabilities.stable_may_be_empty


def test_the_canary_repeats_class_host_path_and_path_type() -> None:
    main, canary = ROUTER.render(a_route())
    assert main["spec"]["ingressClassName"] == canary["spec"]["ingressClassName"] == "nginx"
    (rule,), (twin,) = main["spec"]["rules"], canary["spec"]["rules"]
    assert rule["host"] == twin["host"]
    (path,), (other,) = rule["http"]["paths"], twin["http"]["paths"]
    assert (path["path"], path["pathType"]) == (other["path"], other["pathType"]) == (KEY.path, "Prefix")


def test_another_path_type_would_drop_the_canary() -> None:
    main, canary = ROUTER.render(a_route())
    canary["spec"]["rules"][0]["http"]["paths"][0]["pathType"] = "Exact"
    assert rules([main, canary])[PLACE].canary is None


def test_every_annotation_value_is_a_string_and_the_total_stays_at_its_default() -> None:
    _, canary = ROUTER.render(a_route(weight=7))
    assert annotations_of(canary) == {CANARY: "true", CANARY_WEIGHT: "7"}


def test_there_is_one_canary_per_route_and_none_without_a_main_ingress() -> None:
    assert [is_canary(one) for one in ROUTER.render(a_route())] == [False, True]
    assert [is_canary(one) for one in ROUTER.render(a_route(weight=None))] == [False]


def test_stable_and_canary_never_share_a_service() -> None:
    """Shaping is keyed by Service: a canary's Service that is a normal backend as well is no canary."""
    manifests = ROUTER.render(a_route())
    assert rules(manifests)[PLACE].canary == "housing-2-abc"
    elsewhere = ROUTER.render(
        Route(
            name="preview",
            namespace="team",
            key=RouteKey(class_name="nginx", host="preview.example", path="/v2/models/housing"),
            split=Split(stable_service="housing-2-abc"),
        )
    )
    assert rules([*manifests, *elsewhere])[PLACE].canary is None


def test_the_users_annotations_are_on_the_main_ingress_alone_and_cannot_make_it_a_canary() -> None:
    mine = {PREFIX + "proxy-body-size": "8m", CANARY: "true", CANARY_WEIGHT: "100"}
    main, canary = ROUTER.render(a_route(annotations=mine))
    assert annotations_of(main) == {PREFIX + "proxy-body-size": "8m"}
    assert PREFIX + "proxy-body-size" not in annotations_of(canary)


def test_an_empty_host_routes_any_host() -> None:
    (main,) = ROUTER.render(a_route(weight=None, key=RouteKey(class_name="nginx", host="", path=KEY.path)))
    assert "host" not in main["spec"]["rules"][0]


def test_tls_covers_the_host() -> None:
    main, _ = ROUTER.render(a_route(tls_secret="cert"))
    assert main["spec"]["tls"] == [{"hosts": ["models.example"], "secretName": "cert"}]


def test_only_the_main_ingress_holds_a_route() -> None:
    main, canary = ROUTER.render(a_route())
    assert list(ROUTER.keys_held_by(main)) == [KEY]
    assert list(ROUTER.keys_held_by(canary)) == []


def test_a_weight_that_cannot_be_read_counts_as_the_whole() -> None:
    """Somebody else's hand: traffic may flow, so it is not taken for none."""
    main, canary = ROUTER.render(a_route())
    canary["metadata"]["annotations"][CANARY_WEIGHT] = "much"
    split = ROUTER.split_of([main, canary])
    assert split is not None
    assert split.canary_weight == 100


def test_the_canary_ingress_is_named_after_the_main_one() -> None:
    main, canary = ROUTER.render(a_route())
    assert canary["metadata"]["name"] == canary_name(main["metadata"]["name"])
