"""What controllers under earlier schemas stored stays as it is: an upgrade trains nothing and restarts nobody."""

from pathlib import Path

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT
from aurora_controller.kube.clock import parse_time
from aurora_controller.kube.meta import DEPLOYMENT, JOB, POD
from tests.unit.controller import golden
from tests.unit.controller.every_kind import KINDS
from tests.unit.controller.rollout.neighbours import ManualClock
from tests.unit.controller.whole_namespace import WholeNamespace

every_schema = pytest.mark.parametrize("path", golden.FILES, ids=lambda path: path.stem)


def restored(path: Path, *, runtime_image: str = "aurora-runtime:1") -> WholeNamespace:
    """The namespace as it was left, with a controller of today just started."""
    content = golden.read(path)
    clock = ManualClock(at=parse_time(content["now"]))
    namespace = WholeNamespace(runtime_image=runtime_image, clock=clock)
    namespace.cluster.restore(*content["objects"])
    return namespace


@every_schema
async def test_what_an_earlier_controller_left_needs_no_write(path: Path) -> None:
    namespace = restored(path)
    await namespace.reconcile()
    assert namespace.cluster.writes == []


@every_schema
async def test_a_newer_runtime_image_is_told_and_nothing_else_is_done(path: Path) -> None:
    namespace = restored(path, runtime_image="aurora-runtime:2")
    await namespace.reconcile()
    deployments = namespace.cluster.names(ML_DEPLOYMENT)
    assert namespace.cluster.writes == [f"patch status MLDeployment {name}" for name in deployments]


@every_schema
async def test_what_an_earlier_controller_began_goes_on(path: Path) -> None:
    """With no pod but those of the retry that was due anyway, and no revision but those there were."""
    namespace = restored(path)
    before = {kind: namespace.cluster.names(kind) for kind in (DEPLOYMENT, JOB, POD)}
    await namespace.run(60)
    assert namespace.cluster.names(DEPLOYMENT) == before[DEPLOYMENT]
    assert set(namespace.cluster.names(JOB)) - set(before[JOB]) == {"failing-v4-2"}
    assert set(namespace.cluster.names(POD)) - set(before[POD]) == {"failing-v4-2-pod"}


@every_schema
def test_the_golden_namespace_holds_every_kind(path: Path) -> None:
    kinds = {(one["apiVersion"], one["kind"]) for one in golden.read(path)["objects"]}
    assert kinds == {(kind.api_version, kind.kind) for kind in KINDS}


def test_the_present_schema_is_among_them() -> None:
    """If this fails, the schema has changed: add a file, as ``golden`` tells, and change none of the others."""
    assert golden.read(golden.FILES[-1])["schema"] == golden.schema_of()
