"""API keys: made once, never read into the cluster's objects again, back when lost, and the user's own when named."""

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT
from aurora_controller.kube.meta import DEPLOYMENT, SECRET, Kind, Manifest, ObjectKey
from tests.unit.builders import a_secret, an_object
from tests.unit.controller.rollout.world import NAME, World, a_world_with_a_canary


def _secret_of(world: World, revision: str | None) -> str:
    volumes = world.workload(revision)["spec"]["template"]["spec"]["volumes"]
    name: str = next(volume for volume in volumes if volume["name"] == "api-keys")["secret"]["secretName"]
    return name


async def test_one_random_key_is_created_and_never_applied() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    key = world.child(SECRET, f"{NAME}-api-keys")["stringData"]["default"]
    assert len(key) >= 43
    await world.run(300)
    assert [line for line in world.cluster.writes if "Secret" in line] == [f"create Secret {NAME}-api-keys"]


async def test_no_two_keys_are_alike() -> None:
    keys = set()
    for _ in range(2):
        world = World()
        await world.run(5)
        keys.add(world.child(SECRET, f"{NAME}-api-keys")["stringData"]["default"])
    assert len(keys) == 2


async def test_a_key_is_nowhere_but_in_the_secret() -> None:
    world = World()
    observed, plan = await world.plan()
    assert observed is not None
    assert observed.keys.new_key is not None
    assert observed.keys.new_key not in repr(observed)
    assert observed.keys.new_key not in repr([write for write in plan.writes if "Secret" not in repr(write)])


async def test_a_deleted_secret_comes_back_within_five_minutes_without_any_event() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    assert world.look_again is not None
    assert world.look_again <= 300
    world.remove(SECRET, f"{NAME}-api-keys")
    await world.tick(world.look_again)
    assert world.names(SECRET) == [f"{NAME}-api-keys"]


async def test_a_secret_that_somebody_made_before_is_used_as_it_is() -> None:
    world = World()
    world.put(a_secret(f"{NAME}-api-keys", data={"mine": "a2V5"}))
    await world.run(10, until=lambda: world.phase == "Idle")
    assert world.child(SECRET, f"{NAME}-api-keys")["data"] == {"mine": "a2V5"}


async def test_a_named_secret_is_mounted_and_none_is_made() -> None:
    world = World(auth={"secretName": "team-keys"})
    world.put(a_secret("team-keys", data={"a": "a2V5"}))
    await world.run(10, until=lambda: world.phase == "Idle")
    assert world.names(SECRET) == ["team-keys"]
    assert _secret_of(world, world.revision("stable")) == "team-keys"


async def test_a_named_secret_that_is_missing_is_told_and_picked_up_soon() -> None:
    world = World(auth={"secretName": "team-keys"})
    await world.run(5)
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "SecretNotFound")
    assert "team-keys" in ready["message"]
    assert world.names(DEPLOYMENT) == []
    world.put(a_secret("team-keys", data={"a": "a2V5"}))
    await world.run(20, until=lambda: world.phase == "Idle")


async def test_another_secret_reaches_all_pods_without_a_canary() -> None:
    """Whom to let in is a matter of the MLDeployment, not of one revision of it."""
    world = await a_world_with_a_canary()
    stable, canary = world.revision("stable"), world.revision("canary")
    world.put(a_secret("team-keys", data={"a": "a2V5"}))
    world.edit(auth={"secretName": "team-keys"})
    await world.run(5)
    assert (world.revision("stable"), world.revision("canary")) == (stable, canary)
    assert _secret_of(world, stable) == _secret_of(world, canary) == "team-keys"


async def test_pods_keep_the_secret_they_have_until_the_new_one_exists() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.edit(auth={"secretName": "team-keys"})
    await world.run(15)
    assert world.condition("Ready")["reason"] == "SecretNotFound"
    assert _secret_of(world, world.revision("stable")) == f"{NAME}-api-keys"
    world.put(a_secret("team-keys", data={"a": "a2V5"}))
    await world.run(15)
    assert _secret_of(world, world.revision("stable")) == "team-keys"
    assert world.condition("Ready")["status"] == "True"


async def test_secrets_may_be_got_and_created_and_nothing_else() -> None:
    verbs = {verb for rule in World().reconciler.rules if "secrets" in rule.resources for verb in rule.verbs}
    assert verbs == {"get", "create"}
    assert all(watch.kind != SECRET for watch in World().reconciler.watches)


async def test_a_reconcile_of_what_did_not_change_asks_the_server_for_nothing() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    asked = looks(world)
    writes = len(world.cluster.writes)
    for _ in range(29):
        world.annotate(note=str(world.clock.at))
        await world.tick(10)
    assert (asked, len(world.cluster.writes)) == ([], writes)


async def test_looks_are_never_farther_apart_than_five_minutes_however_many_events_come() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    asked, began = looks(world), world.clock.monotonic()
    for _ in range(4):
        await world.tick(70)
    assert world.look_again is not None
    await world.tick(world.look_again)
    assert len(asked) == 1
    assert world.clock.monotonic() - began <= 300


async def test_a_pod_that_waits_makes_it_look_at_once() -> None:
    """The kubelet cannot start it without the Secret."""
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.remove(SECRET, f"{NAME}-api-keys")
    await world.tick(1)
    assert world.names(SECRET) == []
    world.edit(replicas=3)
    await world.tick(1)
    assert world.names(SECRET) == [f"{NAME}-api-keys"]


async def test_an_object_made_anew_is_not_believed_to_have_the_secret_of_the_one_before() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    manifest = world.object
    world.remove(ML_DEPLOYMENT, NAME)
    world.put(an_object(ML_DEPLOYMENT, NAME, uid="another", spec=manifest["spec"]))
    observed, _ = await world.plan()
    assert observed is not None
    assert not observed.keys.exists


def looks(world: World) -> list[ObjectKey]:
    """The Secrets that are asked for from now on."""
    asked: list[ObjectKey] = []
    get_or_none = world.cluster.get_or_none

    async def counting(kind: Kind, key: ObjectKey) -> Manifest | None:
        if kind == SECRET:
            asked.append(key)
        return await get_or_none(kind, key)

    world.cluster.get_or_none = counting  # type: ignore[method-assign]
    return asked
