"""Whatever people and pods do, in whatever order, and whenever the controller dies: the invariants hold at every write
(the world checks them), and once it calms down the rollout comes to rest.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aurora_controller.kube.meta import DEPLOYMENT, INGRESS, POD, SERVICE
from tests.unit.controller.rollout.neighbours import Behaviour, is_pod_ready
from tests.unit.controller.rollout.world import NAME, World

CALM_SECONDS = 900
RUNS = 25


@dataclass
class Moves:
    """What may happen, by name."""

    world: World
    highest: int = 1
    moves: dict[str, Callable[[int], None]] = field(init=False)

    def __post_init__(self) -> None:
        self.moves = {
            "publish": self._publish,
            "target": lambda n: self.world.edit(version=1 + n % self.highest),
            "latest": lambda _: self.world.edit(version="latest"),
            "promote": lambda _: self._ask("promote"),
            "abort": lambda _: self._ask("abort"),
            "stable version": lambda n: self.world.edit(stableVersion=1 + n % self.highest if n % 3 else None),
            "pause": lambda n: self.world.edit(paused=bool(n % 2)),
            "replicas": lambda n: self.world.edit(replicas=1 + n % 3),
            "weight": lambda n: self.world.edit(strategy={"canaryWeight": 25 * (n % 5)}),
            "image": lambda n: self.world.edit(image=f"server:{n % 2}" if n % 3 else None),
            "break": lambda n: self.world.neighbours.behaviours.update(
                {str(1 + n % self.highest): Behaviour(is_broken=True)}
            ),
            "slow": lambda n: self.world.neighbours.behaviours.update(
                {str(1 + n % self.highest): Behaviour(starts_after=8)}
            ),
            "mend": lambda _: self.world.neighbours.behaviours.clear(),
            "crash": self._crash,
            "lose pod": self._lose_pod,
            "kill": lambda n: setattr(self.world, "dies_before_write", n % 6),
            "delete child": self._delete_child,
        }

    def _publish(self, _: int) -> None:
        if self.highest < 5:
            self.highest += 1
            self.world.publish(self.highest)

    def _ask(self, action: str) -> None:
        if self.world.status.get("canary"):
            self.world.request(action)

    def _crash(self, number: int) -> None:
        pods = self.world.pods()
        if pods:
            self.world.crash(pods[number % len(pods)], times=1 + number % 2)

    def _lose_pod(self, number: int) -> None:
        names = self.world.names(POD)
        if names:
            self.world.remove(POD, names[number % len(names)])

    def _delete_child(self, number: int) -> None:
        children = [(kind, name) for kind in (DEPLOYMENT, SERVICE, INGRESS) for name in self.world.names(kind)]
        if children:
            kind, name = children[number % len(children)]
            self.world.remove(kind, name)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(sorted(Moves(World()).moves)),
        st.integers(0, 29),
        st.sampled_from([0.0, 1.0, 2.0, 6.0, 15.0, 40.0]),
    ),
    min_size=1,
    max_size=12,
)


async def _story(steps: list[tuple[str, int, float]]) -> World:
    world = World()
    moves = Moves(world)
    await world.run(5)
    for name, number, seconds in steps:
        moves.moves[name](number)
        await world.run(seconds)
    moves.moves["mend"](0)
    # A pod that crashed keeps its restart count; whoever mends the model restarts it.
    for pod in world.pods():
        if world.neighbours.crashed.get(pod["metadata"]["uid"]):
            world.remove(POD, pod["metadata"]["name"])
    await world.run(CALM_SECONDS)
    return world


@settings(max_examples=RUNS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_whatever_happens_the_invariants_hold_and_the_rollout_comes_to_rest(
    steps: list[tuple[str, int, float]],
) -> None:
    world = asyncio.run(_story(steps))
    writes = len(world.cluster.writes)
    asyncio.run(world.run(120))
    assert world.cluster.writes[writes:] == []
    assert world.phase in {"Idle", "Canary"}
    assert world.condition("Ready")["status"] == "True"
    stable = world.revision("stable")
    assert set(world.behind(NAME)) == {stable}
    kept = {one for one in (stable, world.revision("canary")) if one}
    assert set(world.names(DEPLOYMENT)) == {f"{NAME}-{revision}" for revision in kept}
    assert all(is_pod_ready(pod) for pod in world.pods())
