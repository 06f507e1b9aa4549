"""What users do to objects of all four kinds, told step by step against a namespace of its own.

A scenario first prepares what it starts from (no faults there), then tells its steps, each a user's act and what must
come of it. The same steps run with and without faults, and the ends are compared.
"""

import itertools
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aurora_controller.api.labels import GROUP
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    SECRET,
    Kind,
    Manifest,
    ObjectKey,
    is_deleting,
    uid_of,
)
from tests.faults.control_plane import NAMESPACE
from tests.faults.mirror import Mirror, status_of
from tests.faults.players import Players
from tests.unit.builders import a_digest, a_ready_version

MODEL: Final = "housing"
NAME: Final = "serve"
TRAINING: Final = "train"
PATIENCE_SECONDS: Final = 75.0
"""What a promotion replaces may take a minute to leave, when its pods are not heard to have become quiet."""
_numbers = itertools.count(1)


@dataclass(kw_only=True)
class Stage:
    """A namespace with a bound claim, and who acts there beside the controller.

    Every act returns when the mirror shows it, so that what is waited for next is never found in what was before.
    """

    namespace: str
    client: KubeClient
    mirror: Mirror
    players: Players
    patience_seconds: float = PATIENCE_SECONDS

    @classmethod
    async def open(cls, client: KubeClient, mirror: Mirror, players: Players, title: str = "t") -> "Stage":
        name = f"{title}-{next(_numbers)}"
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        stage = cls(namespace=name, client=client, mirror=mirror, players=players)
        await stage.put(
            PERSISTENT_VOLUME_CLAIM,
            "aurora-models",
            {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
            status={"phase": "Bound", "accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"}},
        )
        return stage

    async def put(
        self,
        kind: Kind,
        name: str,
        spec: Manifest,
        *,
        labels: Mapping[str, str] | None = None,
        status: Manifest | None = None,
    ) -> Manifest:
        manifest = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": name, "namespace": self.namespace, "labels": dict(labels or {})},
            "spec": spec,
        }
        made = await self.client.create(kind, manifest)
        if status is not None:
            made = await self.client.merge_patch(kind, self.key(name), {"status": status}, subresource="status")
        await self._until_shown(kind, made)
        return made

    def key(self, name: str) -> ObjectKey:
        return ObjectKey(self.namespace, name)

    async def train(self, name: str = TRAINING, **spec: Any) -> None:
        defaults = {"modelName": MODEL, "dataset": "synthetic", "algorithm": "ridge"}
        await self.put(ML_TRAINING_JOB, name, defaults | spec)

    async def serve(self, name: str = NAME, **spec: Any) -> None:
        strategy = {"type": "Canary", "canaryWeight": 10, "rollbackWindowSeconds": 0}
        await self.put(ML_DEPLOYMENT, name, {"modelName": MODEL, "replicas": 1, "strategy": strategy} | spec)

    async def publish(self, number: int, model: str = MODEL) -> None:
        """A version that somebody has trained before; the registry finds it and calls it Ready."""
        manifest = a_ready_version(number, model=model, digest=a_digest(number))
        metadata, facts = manifest["metadata"], dict(manifest["status"])
        del facts["state"], facts["conditions"]
        await self.put(ML_MODEL_VERSION, metadata["name"], manifest["spec"], labels=metadata["labels"], status=facts)

    async def edit(self, kind: Kind, name: str, patch: Manifest) -> None:
        await self._until_shown(kind, await self.client.merge_patch(kind, self.key(name), patch))

    async def request(self, action: str) -> None:
        status = status_of(self.get(ML_DEPLOYMENT, NAME))
        value = f"{status['canary']['revision']}@{status['rollout']}"
        await self.edit(ML_DEPLOYMENT, NAME, {"metadata": {"annotations": {f"{GROUP}/{action}": value}}})

    async def delete(self, kind: Kind, name: str) -> None:
        live = await self.client.get(kind, self.key(name))
        await self.client.delete(kind, self.key(name), uid=uid_of(live), propagation="Background")

        def is_noticed() -> bool:
            shown = self.get(kind, name)
            return shown is None or is_deleting(shown) or uid_of(shown) != uid_of(live)

        await self.until(is_noticed, f"the end of {kind.kind} {name}")

    async def _until_shown(self, kind: Kind, made: Manifest) -> None:
        name, version = made["metadata"]["name"], int(made["metadata"]["resourceVersion"])

        def is_shown() -> bool:
            shown = self.get(kind, name)
            if shown is None:
                return is_deleting(made)  # its last finalizer went with the patch
            return int(shown["metadata"]["resourceVersion"]) >= version

        await self.until(is_shown, f"the event of {kind.kind} {name}")

    def get(self, kind: Kind, name: str) -> Manifest | None:
        return self.mirror.get(kind, self.namespace, name)

    def status(self, kind: Kind, name: str) -> Manifest:
        return status_of(self.get(kind, name))

    def names(self, kind: Kind) -> list[str]:
        return sorted(obj["metadata"]["name"] for obj in self.mirror.list(kind, self.namespace))

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        await self.mirror.until(holds, seconds=self.patience_seconds, what=f"{what} in {self.namespace}")

    async def until_served(self, version: int) -> None:
        """One stable revision of this version, no canary, and no pods of another."""

        def holds() -> bool:
            status = self.status(ML_DEPLOYMENT, NAME)
            return (
                status.get("phase") == "Idle"
                and (status.get("stable") or {}).get("version") == version
                and not status.get("canary")
                and not status.get("previous")
                and condition(status, "Ready") == "True"
                and sum(name.startswith(f"{NAME}-") for name in self.names(DEPLOYMENT)) == 1
            )

        await self.until(holds, f"stable version {version}")

    async def until_canary(self, version: int) -> None:
        def holds() -> bool:
            status = self.status(ML_DEPLOYMENT, NAME)
            canary = status.get("canary") or {}
            return status.get("phase") == "Canary" and canary.get("version") == version and canary.get("weight") == 10

        await self.until(holds, f"canary version {version}")

    async def until_trained(self, version: int, name: str = TRAINING) -> None:
        def holds() -> bool:
            status = self.status(ML_TRAINING_JOB, name)
            state = self.status(ML_MODEL_VERSION, f"{MODEL}-v{version}").get("state")
            latest = self.status(ML_MODEL, MODEL).get("latestVersion")
            return (
                condition(status, "Succeeded") == "True"
                and status.get("version") == version
                and state == "Ready"
                and latest == version
            )

        await self.until(holds, f"trained version {version}")


def condition(status: Manifest, type_: str) -> str:
    return next((one["status"] for one in status.get("conditions") or () if one["type"] == type_), "")


Act = Callable[[Stage], Coroutine[Any, Any, None]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    name: str
    prepare: Act
    tell: Act


async def _nothing(_: Stage) -> None:
    pass


async def _train(stage: Stage) -> None:
    await stage.train()
    await stage.until_trained(1)


async def _retrain(stage: Stage) -> None:
    """Other inputs make another version; the first trainer finds its storage away."""
    stage.players.fail_next(stage.namespace)
    await stage.edit(ML_TRAINING_JOB, TRAINING, {"spec": {"dataRevision": "2"}})
    await stage.until_trained(2)


async def _train_twice(stage: Stage) -> None:
    await _train(stage)
    await _retrain(stage)


async def _first_start(stage: Stage) -> None:
    await stage.publish(1)
    await stage.serve()
    await stage.until_served(1)


async def _open_canary(stage: Stage) -> None:
    await stage.publish(2)
    await stage.until_canary(2)


async def _serving_with_canary(stage: Stage) -> None:
    await _first_start(stage)
    await _open_canary(stage)


async def _promote(stage: Stage) -> None:
    await stage.request("promote")
    await stage.until_served(2)


async def _roll_out(stage: Stage) -> None:
    await _serving_with_canary(stage)
    await _promote(stage)


async def _abort(stage: Stage) -> None:
    await stage.request("abort")
    await stage.until_served(1)


async def _rotate_keys(stage: Stage) -> None:
    """From the generated keys to a Secret of the user's own."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "my-keys", "namespace": stage.namespace},
        "stringData": {"team": "a-key-of-our-own-which-is-long"},
    }
    await stage.client.create(SECRET, secret)
    await stage.edit(ML_DEPLOYMENT, NAME, {"spec": {"auth": {"secretName": "my-keys"}}})

    def holds() -> bool:
        workloads = stage.mirror.list(DEPLOYMENT, stage.namespace)
        return len(workloads) == 1 and "my-keys" in str(workloads[0]["spec"]["template"]["spec"]["volumes"])

    await stage.until(holds, "the new keys")
    await stage.until_served(1)


async def _delete(stage: Stage) -> None:
    await stage.delete(ML_DEPLOYMENT, NAME)
    await stage.until(lambda: not stage.names(DEPLOYMENT) and not stage.names(SECRET), "an empty namespace")


async def _recreate(stage: Stage) -> None:
    """Deleted and applied again at once: nothing of the first may be taken for the second's."""
    await stage.delete(ML_DEPLOYMENT, NAME)
    await stage.serve()
    await stage.until_served(1)


async def _trained_then_deleted(stage: Stage) -> None:
    await stage.delete(ML_TRAINING_JOB, TRAINING)
    await stage.until(lambda: not stage.names(JOB), "no Jobs")


SCENARIOS: Final = (
    Scenario(name="training", prepare=_nothing, tell=_train),
    Scenario(name="retraining", prepare=_train, tell=_retrain),
    Scenario(name="first-start", prepare=_nothing, tell=_first_start),
    Scenario(name="canary", prepare=_first_start, tell=_open_canary),
    Scenario(name="promotion", prepare=_serving_with_canary, tell=_promote),
    Scenario(name="abort", prepare=_serving_with_canary, tell=_abort),
    Scenario(name="key-rotation", prepare=_first_start, tell=_rotate_keys),
    Scenario(name="recreation", prepare=_first_start, tell=_recreate),
)
"""Each with writes of its own."""
ROLLOUT: Final = Scenario(name="rollout", prepare=_nothing, tell=_roll_out)
TWO_TRAININGS: Final = Scenario(name="two-trainings", prepare=_nothing, tell=_train_twice)
"""Long stories in one go: from nothing to the promotion of a second version, or to a second training."""
DELETIONS: Final = (
    Scenario(name="deletion", prepare=_first_start, tell=_delete),
    Scenario(name="deleted-training", prepare=_train, tell=_trained_then_deleted),
)
"""The children go with their owner: the controller itself need not write."""
