"""Whatever happens on the way, the end depends on the last spec alone, and then there is rest."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_controller.kube.meta import DEPLOYMENT, SECRET, SERVICE, Kind, ObjectKey
from tests.unit.controller.kube.widgets import WIDGET, a_widget
from tests.unit.controller.kube.world import World, kill_at

SPECS = st.fixed_dictionaries({"replicas": st.integers(0, 3), "exposed": st.booleans()})
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), SPECS),
        st.tuples(st.just("lose"), st.sampled_from([SECRET, DEPLOYMENT, SERVICE])),
        st.tuples(st.just("meddle"), st.integers(5, 9)),
        st.tuples(st.just("kill before"), st.integers(0, 4)),
        st.tuples(st.just("kill after"), st.integers(0, 4)),
    ),
    max_size=8,
)


def end_of(world: World) -> dict[str, Any]:
    """What exists in the end, without what differs between two runs that are equally right."""
    return {
        "deployment": world.cluster.live(DEPLOYMENT, "wheel")["spec"],
        "services": world.cluster.names(SERVICE),
        "secrets": world.cluster.names(SECRET),
        "conditions": world.conditions(),
    }


async def take(world: World, step: str, detail: Any) -> None:
    """Does one step to the cluster while a controller runs, and lets it react."""
    world.cluster.on_write = kill_at(detail) if step == "kill before" else lambda _: None
    world.cluster.after_write = kill_at(detail) if step == "kill after" else lambda _: None
    async with world.controller():
        match step:
            case "edit":
                world.cluster.edit(WIDGET, "wheel", {"spec": detail})
            case "lose" if isinstance(detail, Kind) and "wheel" in world.cluster.names(detail):
                world.cluster.remove(detail, "wheel")
            case "meddle" if "wheel" in world.cluster.names(DEPLOYMENT):
                world.cluster.edit(DEPLOYMENT, "wheel", {"spec": {"replicas": detail}})
        await world.clock.advance(1)


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_every_story_ends_as_if_only_its_last_spec_had_ever_been(steps: list[tuple[str, Any]]) -> None:
    async def run() -> None:
        world = World()
        spec: dict[str, Any] = {"replicas": 1, "exposed": True}
        world.cluster.add(a_widget(**spec))
        for step, detail in steps:
            spec = detail if step == "edit" else spec
            await take(world, step, detail)
        await world.restart()

        reference = World()
        reference.cluster.add(a_widget(**spec))
        await reference.restart()
        assert end_of(world) == end_of(reference)

        world.cluster.writes.clear()
        await world.restart()
        assert world.cluster.writes == []

    asyncio.run(run())


@pytest.mark.parametrize("kind", [WIDGET, DEPLOYMENT, SERVICE])
async def test_a_reconciler_that_changes_what_it_was_handed_is_found_out(world: World, kind: Kind) -> None:
    """Else every other test would pass though the cache of a real controller drifts from what is stored."""
    world.cluster.add(a_widget())
    await world.restart()
    in_cache = world.cluster.cache.get(kind, ObjectKey("team", "wheel"))
    assert in_cache is not None
    in_cache["metadata"]["labels"] = {"seen": "yes"}
    with pytest.raises(AssertionError, match=f"{kind.kind} team/wheel was changed in the cache"):
        await world.restart()
