"""The controller may die at any moment: the flow ends in the same state, nothing is done twice."""

import random
import subprocess
from collections.abc import Iterator
from threading import Event, Thread
from typing import Self

import pytest

from tests.e2e.cluster import CONTROLLER_NAMESPACE, CONTROLLER_PODS, Cluster
from tests.e2e.stories import TINY_ROW, Model, Service
from tests.e2e.traffic import ask_until

NAMESPACE = "e2e-kills"
KILLS = 20
SEED = random.SystemRandom().randrange(2**32)


# A crashed leader's lease must run out before its successor writes: production's 15 s would only be waited for.
SHORT_LEASE = {"AURORA_LEASE_SECONDS": "6", "AURORA_RENEW_DEADLINE_SECONDS": "4", "AURORA_RETRY_SECONDS": "1"}
USUAL_LEASE = {"AURORA_LEASE_SECONDS": "15", "AURORA_RENEW_DEADLINE_SECONDS": "10", "AURORA_RETRY_SECONDS": "2"}


@pytest.fixture
def short_lease(cluster: Cluster) -> Iterator[None]:
    cluster.configure_controller(**SHORT_LEASE)
    yield
    cluster.configure_controller(**USUAL_LEASE)


class Killer:
    """SIGKILLs the controller's process KILLS times, at random moments, until told to stop."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._random = random.Random(SEED)
        self._thread = Thread(target=self._run, daemon=True)
        self._done = Event()
        self.kills = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=300)
        assert self.kills == KILLS, f"{self.kills} kills"

    def _run(self) -> None:
        while self.kills < KILLS:
            self._done.wait(self._random.uniform(0.5, 6.0))
            self._kill()

    def _kill(self) -> None:
        """The process, on the node, and its pod with it: a restart in place would be delayed more and more."""
        pods = self._cluster.objects(CONTROLLER_NAMESPACE, "pods", CONTROLLER_PODS)
        command = ["docker", "exec", self._cluster.node, "pkill", "-9", "-f", "aurora_controller"]
        if subprocess.run(command, check=False, capture_output=True, timeout=30).returncode != 0:
            return
        self.kills += 1
        for pod in pods:
            self._cluster.delete(CONTROLLER_NAMESPACE, "pod", pod["metadata"]["name"], wait=False)


@pytest.mark.usefixtures("short_lease")
def test_a_controller_killed_at_random_moments_ends_in_the_same_state(cluster: Cluster) -> None:
    print(f"seed {SEED}")  # noqa: T201
    model = Model(cluster=cluster, namespace=NAMESPACE, name="survivor")
    with Killer(cluster):
        model.train()
        service = Service.serve(model, "survivor")
        second = model.train(hyperparameters={"alpha": 0.5})
        service.wait_canary(second, 10)
        service.request("promote")
        service.wait_stable(second)
        third = model.train(hyperparameters={"alpha": 2.0})
        service.wait_canary(third, 10)
        service.request("abort")
        service.wait_stable(second)
    cluster.kubectl("rollout", "status", "-n", CONTROLLER_NAMESPACE, "deployment/aurora-controller", "--timeout=120s")
    service.wait_stable(second)
    assert model.versions() == {1: "Ready", 2: "Ready", 3: "Ready"}
    stored = sorted(p.name for p in (cluster.store_of(NAMESPACE, model.name)).iterdir() if p.name.isdigit())
    assert stored == ["1", "2", "3"]
    jobs = cluster.objects(NAMESPACE, "jobs")
    assert sorted(job["metadata"]["name"] for job in jobs) == [f"{model.job}-v{n}-1" for n in (1, 2, 3)]
    answer = ask_until(service.endpoint(), [TINY_ROW], status=200, seconds=30)
    assert answer.version == "2"
