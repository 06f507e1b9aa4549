"""Writes as the fault proxy logs them, and events as the mirror does, for the tests of what judges them."""

import itertools
from typing import Any

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT
from aurora_controller.kube.meta import Kind, Manifest
from tests.faults.mirror import Seen
from tests.faults.proxy import Write
from tests.faults.rules import Call

NS = "ns-1"
_numbers = itertools.count(1)


def an_object(kind: Kind, name: str = "one", *, uid: str = "uid-1", **given: Any) -> Manifest:
    metadata = {"name": name, "namespace": NS, "uid": uid, "generation": 1, "resourceVersion": "1"}
    metadata |= given.pop("metadata", {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **given}


def a_write(
    verb: str = "patch",
    resource: str = "mldeployments",
    *,
    reconcile: str = "r1",
    door: str = "a",
    subresource: str = "",
    body: Any = None,
    answer: Any = None,
    at: tuple[float, float] | None = None,
    status: int | None = 200,
) -> Write:
    """One after the other, unless ``at`` says when it began and ended."""
    number = next(_numbers)
    began, ended = at or (float(number), number + 0.5)
    return Write(
        number=number,
        door=door,
        call=Call(verb=verb, resource=resource, namespace=NS, name="one", subresource=subresource),
        reconcile=reconcile,
        body=body,
        began=began,
        status=status,
        ended=ended,
        over=ended,
        answer=answer,
    )


def a_status_patch(uid: str = "uid-1", *, version: int = 1, **given: Any) -> Write:
    """Of an MLDeployment, decided on ``version``."""
    body = {"metadata": {"resourceVersion": str(version)}, "status": {}}
    return a_write(subresource="status", body=body, answer=an_object(ML_DEPLOYMENT, uid=uid), **given)


def owned(uid: str) -> Manifest:
    return {"metadata": {"ownerReferences": [{"uid": uid}]}}


def seen(kind: Kind, obj: Manifest, change: str = "MODIFIED", at: float = 0.0) -> Seen:
    return Seen(type=change, kind=kind, obj=obj, at=at)
