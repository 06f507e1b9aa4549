"""API keys: made once, never read into the cluster's objects again, back when lost, and the user's own when named."""

import pytest

from aurora_controller.kube.meta import DEPLOYMENT, SECRET
from tests.unit.builders import a_secret
from tests.unit.controller.rollout.world import KEY, NAME, World, a_world_with_a_canary


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


async def test_a_deleted_secret_comes_back_within_a_minute_without_any_event() -> None:
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


@pytest.mark.parametrize("name", [NAME])
async def test_the_key_is_asked_for_live_in_every_reconcile(name: str) -> None:
    world = World()
    asked = []
    get_or_none = world.cluster.get_or_none

    async def counting(kind, key):  # type: ignore[no-untyped-def]
        asked.append((kind, key))
        return await get_or_none(kind, key)

    world.cluster.get_or_none = counting  # type: ignore[method-assign]
    await world.reconciler.observe(KEY)
    await world.reconciler.observe(KEY)
    assert [(kind, key.name) for kind, key in asked] == [(SECRET, f"{name}-api-keys")] * 2
