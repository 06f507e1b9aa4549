"""Users at work on many models: each model has a place with a training job, versions, aliases and a deployment.

Every act looks at what is there and is one that a user may do at any moment, whatever is under way.
"""

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.errors import Conflict, NotFound
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    INGRESS,
    JOB,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
    is_deleting,
    key_of,
    labels_of,
    uid_of,
)
from tests.faults.mirror import OURS, status_of
from tests.faults.scenarios import Stage, condition

_MOST_VERSIONS: Final = 4
_JOBS_STAY_SECONDS: Final = 30
"""So short that a rest can begin when all of them have left."""


@dataclass(frozen=True, kw_only=True)
class Place:
    stage: Stage
    model: str

    @property
    def training(self) -> str:
        return f"train-{self.model}"

    @property
    def serving(self) -> str:
        return f"serve-{self.model}"

    def versions(self) -> Sequence[Manifest]:
        found = self.stage.mirror.list(ML_MODEL_VERSION, self.stage.namespace)
        return [version for version in found if version["spec"]["modelName"] == self.model]

    def ready_versions(self) -> Sequence[int]:
        return sorted(int(one["spec"]["version"]) for one in self.versions() if status_of(one).get("state") == "Ready")

    @property
    def is_empty(self) -> bool:
        """But for an MLModel perhaps: it belongs to nobody, and a trainer under way may have made it anew."""
        workers = ((ML_TRAINING_JOB, self.training), (ML_DEPLOYMENT, self.serving))
        return not self.versions() and all(self.stage.get(kind, name) is None for kind, name in workers)

    @property
    def canary(self) -> str | None:
        """The value of a request about it."""
        status = self.stage.status(ML_DEPLOYMENT, self.serving)
        canary = status.get("canary")
        return f"{canary['revision']}@{status['rollout']}" if canary else None


class Churn:
    """``acts`` counts what was done."""

    def __init__(self, places: Sequence[Place], dice: random.Random) -> None:
        self._places = places
        self._dice = dice
        self.acts: Counter[str] = Counter()

    async def fill(self, place: Place) -> None:
        await place.stage.train(place.training, modelName=place.model, ttlSecondsAfterFinished=_JOBS_STAY_SECONDS)
        await self._serve(place)

    async def act(self) -> None:
        """One act in one place. What it met may be gone by now: so it is for users."""
        place = self._dice.choice(self._places)
        if place.is_empty:
            self.acts["fill"] += 1
            await self.fill(place)
            return
        act = self._dice.choice(_ACTS)
        self.acts[act.__name__.lstrip("_")] += 1
        with suppress(Conflict, NotFound):
            await act(self, place)

    async def _serve(self, place: Place) -> None:
        await place.stage.serve(place.serving, modelName=place.model)

    async def _edit(self, place: Place, patch: Manifest) -> None:
        await place.stage.edit(ML_DEPLOYMENT, place.serving, patch)

    async def _retrain(self, place: Place) -> None:
        if len(place.versions()) >= _MOST_VERSIONS:
            await self._retire(place)
            return
        if self._dice.random() < 0.2:
            place.stage.players.fail_next(place.stage.namespace)
        patch = {"spec": {"dataRevision": str(self._dice.randrange(2**32))}}
        await place.stage.edit(ML_TRAINING_JOB, place.training, patch)

    async def _retire(self, place: Place) -> None:
        versions = [(ML_MODEL_VERSION, key_of(version).name) for version in place.versions()]
        workers = [(ML_DEPLOYMENT, place.serving), (ML_TRAINING_JOB, place.training)]
        for kind, name in [*workers, *versions, (ML_MODEL, place.model)]:
            with suppress(NotFound):
                await place.stage.delete(kind, name)

    async def _recreate(self, place: Place) -> None:
        await place.stage.delete(ML_DEPLOYMENT, place.serving)
        await self._serve(place)

    async def _decide(self, place: Place) -> None:
        value = place.canary
        if value is not None:
            action = self._dice.choice([labels.PROMOTE, labels.PROMOTE, labels.ABORT])
            await self._edit(place, {"metadata": {"annotations": {action: value}}})

    async def _scale(self, place: Place) -> None:
        await self._edit(place, {"spec": {"replicas": self._dice.randint(1, 2)}})

    async def _resize(self, place: Place) -> None:
        cpu = f"{self._dice.randint(1, 9)}0m"
        await self._edit(place, {"spec": {"resources": {"requests": {"cpu": cpu}}}})

    async def _follow(self, place: Place) -> None:
        await self._edit(place, {"spec": {"version": self._dice.choice(["latest", *place.ready_versions()])}})

    async def _pause(self, place: Place) -> None:
        await self._edit(place, {"spec": {"paused": self._dice.random() < 0.3}})

    async def _change_strategy(self, place: Place) -> None:
        strategy = self._dice.choice(
            [{"type": "Canary", "canaryWeight": 20}, {"type": "RollingUpdate", "canaryWeight": None}]
        )
        await self._edit(place, {"spec": {"strategy": strategy}})

    async def _name_champion(self, place: Place) -> None:
        ready = place.ready_versions()
        if ready:
            patch = {"spec": {"aliases": {"champion": self._dice.choice(ready)}}}
            await place.stage.edit(ML_MODEL, place.model, patch)

    async def _break(self, place: Place) -> None:
        """Deletes a child of the deployment or of the training job."""
        owners = {
            uid_of(obj)
            for obj in (
                place.stage.get(ML_DEPLOYMENT, place.serving),
                place.stage.get(ML_TRAINING_JOB, place.training),
            )
            if obj is not None
        }
        children = [
            (kind, key_of(obj).name)
            for kind in (DEPLOYMENT, SERVICE, INGRESS, SECRET, JOB)
            for obj in place.stage.mirror.list(kind, place.stage.namespace)
            if owners & {owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ()}
        ]
        if children:
            kind, name = self._dice.choice(sorted(children, key=lambda child: (child[0].kind, child[1])))
            await place.stage.delete(kind, name)


_ACTS: Final = (
    *(Churn._retrain,) * 3,
    *(Churn._decide,) * 4,
    Churn._retire,
    Churn._recreate,
    Churn._scale,
    Churn._resize,
    Churn._follow,
    Churn._pause,
    Churn._change_strategy,
    Churn._name_champion,
    Churn._break,
)


_PRIMARY: Final = {ML_TRAINING_JOB: "Succeeded", ML_DEPLOYMENT: "Ready", ML_MODEL: "Ready"}


def unsettled(place: Place) -> Sequence[str]:
    """What is not yet as it should be once everything has come to rest, in words."""
    found: list[str] = []
    for kind in OURS:
        for obj in place.stage.mirror.list(kind, place.stage.namespace):
            key = key_of(obj)
            if place.model in {key.name, (obj.get("spec") or {}).get("modelName")}:
                primary = _PRIMARY.get(kind, "") if kind != ML_MODEL or place.ready_versions() else ""
                found += [f"{kind.kind} {key}: {what}" for what in _unsettled(kind, obj, primary)]
    jobs = place.stage.mirror.list(JOB, place.stage.namespace)
    found += [
        f"Job {key_of(job).name} is still to leave"
        for job in jobs
        if labels_of(job).get(labels.TRAINING_JOB) == place.training
    ]
    # Secrets are not watched, so a lost one may be made anew in the middle of a rest.
    if place.stage.get(ML_DEPLOYMENT, place.serving) and place.stage.get(SECRET, f"{place.serving}-api-keys") is None:
        found.append(f"Secret of {place.serving}: lost")
    return found


def _unsettled(kind: Kind, obj: Manifest, primary: str) -> Sequence[str]:
    status = status_of(obj)
    found = ["still leaving"] if is_deleting(obj) else []
    if kind == ML_MODEL_VERSION:
        return found if status.get("state") in {"Ready", "Abandoned"} else [*found, f"state {status.get('state')}"]
    if status.get("observedGeneration") != obj["metadata"]["generation"]:
        found.append(f"generation {status.get('observedGeneration')} of {obj['metadata']['generation']}")
    if primary and condition(status, primary) != "True":
        found.append(f"{primary} is {condition(status, primary) or 'unset'}")
    if condition(status, "Stalled") == "True":
        found.append("Stalled")
    if kind == ML_DEPLOYMENT and status.get("phase") not in {"Idle", "Canary"}:
        found.append(f"phase {status.get('phase')}")
    # These leave at a time of their own, which may be in the middle of a rest.
    found += [f"revision {one['revision']} is still to leave" for one in status.get("previous") or ()]
    return found
