"""Looks at the Secret with the API keys, as seldom as its users can bear.

Secrets are not watched: RBAC cannot restrict a list or a watch to those with a label, so that a watch of Aurora's own
would take the right to read every Secret there is. A look is a request, and a worker that waits for its answer takes
no other key. So what was there is believed to be there until its time is over, unless a pod waits: perhaps for it.
"""

import secrets as randomness
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from aurora_controller.api.v1alpha1.mldeployment import MLDeployment
from aurora_controller.kube.clock import Clock
from aurora_controller.kube.meta import SECRET, Kind, Manifest, ObjectKey, key_of, uid_of
from aurora_controller.kube.ownership import child_name
from aurora_controller.kube.reconcile import Request, Waiting
from aurora_controller.rollout.health import is_ready
from aurora_controller.rollout.observation import PREDECESSOR_RETRY_SECONDS, Keys, is_of_predecessor

LOOK_APART_SECONDS: Final = 300.0
"""By then a lost Secret is noticed. Looking once a minute took half a core with ten thousand MLDeployments."""
RETRY_SECONDS: Final = 10.0
"""While it is missing."""


class SecretReader(Protocol):
    """A live look at one Secret; a KubeClient is one."""

    async def get_or_none(self, kind: Kind, key: ObjectKey) -> Manifest | None: ...


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """A Secret that was there, and for which MLDeployment."""

    name: str
    owner_uid: str
    until: float
    """Monotonic time up to which it is believed to be there."""


def random_key() -> str:
    """256 bits, safe in URLs and headers."""
    return randomness.token_urlsafe(32)


class KeysReader:
    def __init__(self, *, secrets: SecretReader, clock: Clock, new_key: Callable[[], str] = random_key) -> None:
        self._secrets = secrets
        self._clock = clock
        self._new_key = new_key
        self._seen: dict[Request, _Seen] = {}

    async def read(self, manifest: Manifest, deployment: MLDeployment, pods: Iterable[Manifest]) -> Keys:
        """``pods`` are those that mount it.

        Raises Waiting while the Secret of an earlier MLDeployment of this name is still there.
        """
        request, now = key_of(manifest), self._clock.monotonic()
        name, is_generated = keys_name(deployment), deployment.spec.auth.secret_name is None
        seen = self._seen.get(request)
        if (
            seen is not None
            and (seen.name, seen.owner_uid) == (name, uid_of(manifest))
            and now < seen.until
            and all(map(is_ready, pods))
        ):
            return Keys(name=name, is_generated=is_generated, look_again_seconds=seen.until - now)
        self.forget(request)
        secret = await self._secrets.get_or_none(SECRET, ObjectKey(request.namespace, name))
        if secret is None:
            new_key = self._new_key() if is_generated else None
            return Keys(
                name=name,
                exists=False,
                is_generated=is_generated,
                new_key=new_key,
                look_again_seconds=RETRY_SECONDS,
            )
        if is_generated and is_of_predecessor(secret, manifest):
            message = f"Secret {name} of an earlier MLDeployment of this name is being removed."
            raise Waiting("PredecessorPresent", message, PREDECESSOR_RETRY_SECONDS)
        self._seen[request] = _Seen(name=name, owner_uid=uid_of(manifest), until=now + LOOK_APART_SECONDS)
        return Keys(name=name, is_generated=is_generated, look_again_seconds=LOOK_APART_SECONDS)

    def forget(self, request: Request) -> None:
        """The MLDeployment is gone, or its Secret may be."""
        self._seen.pop(request, None)


def keys_name(deployment: MLDeployment) -> str:
    return deployment.spec.auth.secret_name or child_name(deployment.metadata.name, "api-keys")
