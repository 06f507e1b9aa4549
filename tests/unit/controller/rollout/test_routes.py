"""One route has one holder, whoever else asks for it is told who, and only the model itself is routed."""

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT
from aurora_controller.kube.meta import INGRESS, Manifest, ObjectKey, key_of
from tests.unit.builders import a_deployment
from tests.unit.controller.rollout.world import MODEL, NAME, World, a_world_with_a_canary

EARLIER, LATER = "2026-11-23T09:00:00Z", "2026-11-23T11:00:00Z"


def a_rival(
    name: str = "rival", *, namespace: str = "default", created_at: str = EARLIER, model: str = MODEL, **routing: str
) -> Manifest:
    return a_deployment(
        name, model_name=model, routing=routing, metadata={"namespace": namespace, "created_at": created_at}
    )


def an_ingress_of(rival: Manifest) -> Manifest:
    """The main Ingress that a rival already has."""
    name, namespace = rival["metadata"]["name"], rival["metadata"]["namespace"]
    owner = {"apiVersion": "aurora.io/v1alpha1", "kind": "MLDeployment", "name": name, "controller": True}
    path = {"path": f"/v2/models/{MODEL}", "pathType": "Prefix", "backend": {"service": {"name": name}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "ownerReferences": [owner | {"uid": rival["metadata"]["uid"]}],
        },
        "spec": {"ingressClassName": "nginx", "rules": [{"http": {"paths": [path]}}]},
    }


@pytest.mark.parametrize(
    "rival",
    [
        pytest.param(a_rival(), id="an older one"),
        pytest.param(a_rival(namespace="elsewhere"), id="an older one of another namespace"),
        pytest.param(a_rival("a-name-before", created_at="2026-11-23T10:00:00Z"), id="of the same age, first by name"),
    ],
)
async def test_who_comes_later_is_told_who_holds_the_route_and_creates_nothing(rival: Manifest) -> None:
    world = World()
    world.put(rival)
    await world.run(5)
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "RouteConflict")
    assert repr(key_of(rival).name) in ready["message"]
    assert repr(key_of(rival).namespace) in ready["message"]
    assert world.cluster.writes == [f"patch status MLDeployment {NAME}"]


@pytest.mark.parametrize(
    "rival",
    [
        pytest.param(a_rival(created_at=LATER), id="a younger one"),
        pytest.param(a_rival(host="other.example"), id="another host"),
        pytest.param(a_rival(className="other"), id="another class"),
        pytest.param(a_rival(model="another"), id="another model"),
        pytest.param(a_rival(type="None"), id="no route at all"),
    ],
)
async def test_no_conflict(rival: Manifest) -> None:
    world = World()
    world.put(rival)
    await world.run(10, until=lambda: world.phase == "Idle")


async def test_who_has_an_ingress_holds_the_route_however_young() -> None:
    world = World()
    stored = world.put(a_rival(created_at=LATER))
    world.put(an_ingress_of(stored))
    await world.run(5)
    assert world.condition("Ready")["reason"] == "RouteConflict"


async def test_an_older_rival_does_not_take_the_route_away() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.put(a_rival())
    await world.run(10)
    assert world.condition("Ready")["status"] == "True"


async def test_a_conflict_that_is_resolved_is_picked_up() -> None:
    world = World()
    rival = world.put(a_rival())
    await world.run(5)
    (watch,) = [one for one in world.reconciler.watches if one.kind == ML_DEPLOYMENT]
    assert list(watch.requests(rival)) == [ObjectKey("default", NAME)]
    world.remove(ML_DEPLOYMENT, "rival")
    await world.run(10, until=lambda: world.phase == "Idle")


async def test_who_moves_to_a_route_of_another_keeps_the_one_it_has_and_goes_on_serving() -> None:
    world = await a_world_with_a_canary(routing={"host": "mine.example"})
    world.put(a_rival(host="theirs.example"))
    world.edit(routing={"host": "theirs.example"})
    await world.run(5)
    assert world.condition("Ready")["reason"] == "RouteConflict"
    assert "theirs.example" in world.condition("Ready")["message"]
    assert world.child(INGRESS, NAME)["spec"]["rules"][0]["host"] == "mine.example"
    world.crash(world.pods(world.revision("canary"))[0], times=2)
    await world.tick()
    assert world.weight == 0


async def test_a_moved_host_moves_both_ingresses() -> None:
    world = await a_world_with_a_canary(routing={"host": "a.example"})
    world.edit(routing={"host": "b.example"})
    await world.run(5)
    hosts = [world.child(INGRESS, name)["spec"]["rules"][0]["host"] for name in (NAME, f"{NAME}-canary")]
    assert hosts == ["b.example", "b.example"]


async def test_only_the_models_own_path_is_routed() -> None:
    world = World()
    await world.run(5)
    (rule,) = world.child(INGRESS, NAME)["spec"]["rules"]
    assert [(path["path"], path["pathType"]) for path in rule["http"]["paths"]] == [(f"/v2/models/{MODEL}", "Prefix")]


@pytest.mark.parametrize(
    ("routing", "template", "url"),
    [
        pytest.param({"host": "m.example"}, "", "http://m.example", id="host"),
        pytest.param({"host": "m.example", "tls": {"secretName": "c"}}, "", "https://m.example", id="TLS"),
        pytest.param({}, "{name}.{namespace}.models.example", "http://housing.default.models.example", id="template"),
        pytest.param({"host": "m.example"}, "{name}.example", "http://m.example", id="host before template"),
        pytest.param({}, "", "", id="hostless"),
    ],
)
async def test_the_url_says_where_to_ask(routing: dict, template: str, url: str) -> None:  # type: ignore[type-arg]
    world = World(routing=routing)
    world.host_template = template
    world.restart()
    await world.run(5)
    assert world.status["url"] == f"{url}/v2/models/{MODEL}/infer"


@pytest.mark.parametrize(
    ("point", "host"), [({"ip": "192.0.2.7"}, "192.0.2.7"), ({"hostname": "lb.example"}, "lb.example")]
)
async def test_a_hostless_url_has_the_address_of_the_load_balancer_once_it_is_known(point: dict, host: str) -> None:  # type: ignore[type-arg]
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.edit_child(INGRESS, NAME, {"status": {"loadBalancer": {"ingress": [point]}}})
    await world.run(2)
    assert world.status["url"] == f"http://{host}/v2/models/{MODEL}/infer"
