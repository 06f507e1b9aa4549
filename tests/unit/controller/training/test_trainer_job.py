"""The Job of an attempt: who it belongs to, what it may do, and what its trainer is told."""

from typing import Any

import pytest

from aurora_controller.api import labels
from aurora_controller.kube.meta import JOB, Manifest, ObjectKey, annotations_of, labels_of
from tests.unit.builders import NAMESPACE
from tests.unit.controller.training.world import RUNTIME_IMAGE, World, trainer_of


async def the_job(**spec: Any) -> Manifest:
    """The first Job of a job with this spec."""
    world = World(claims=("aurora-models", "models"), **spec)
    await world.settle()
    return world.objects[JOB.kind, ObjectKey(NAMESPACE, "housing-rf-v1-1")]


def pod_spec_of(job: Manifest) -> dict[str, Any]:
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


async def test_it_goes_with_its_training_job() -> None:
    (owner,) = (await the_job())["metadata"]["ownerReferences"]
    assert owner["kind"] == "MLTrainingJob"
    assert owner["uid"] == "job-uid"
    assert owner["controller"] is True


async def test_a_failed_pod_is_not_retried_behind_our_back() -> None:
    job = await the_job()
    assert job["spec"]["backoffLimit"] == 0
    assert pod_spec_of(job)["restartPolicy"] == "Never"


async def test_a_disrupted_pod_costs_no_attempt() -> None:
    (rule,) = (await the_job())["spec"]["podFailurePolicy"]["rules"]
    assert rule == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


async def test_the_timeout_is_the_jobs_deadline_and_nobody_else_removes_the_job() -> None:
    job = await the_job(timeout_seconds=77)
    assert job["spec"]["activeDeadlineSeconds"] == 77
    assert "ttlSecondsAfterFinished" not in job["spec"]


async def test_job_and_pod_say_whose_run_they_are() -> None:
    job = await the_job()
    expected = {
        labels.MANAGED_BY: "aurora",
        labels.COMPONENT: "trainer",
        labels.MODEL: "california-housing",
        labels.VERSION: "1",
        labels.TRAINING_JOB: "housing-rf",
        labels.RUN: "job-uid-1-14179fb0",
        labels.ATTEMPT: "1",
    }
    assert labels_of(job) == expected
    assert job["spec"]["template"]["metadata"]["labels"] == expected
    assert annotations_of(job)[labels.GENERATION] == "1"


async def test_the_trainer_is_told_its_task_and_may_reuse_in_the_first_run_only() -> None:
    world = World(hyperparameters={"n_estimators": 10})
    await world.settle()
    task = world.task("housing-rf-v1-1")
    assert (task.model, task.version, task.run_id) == ("california-housing", 1, world.status["run"]["id"])
    assert task.inputs.hyperparameters == {"n_estimators": 10}
    assert (task.trained_by.namespace, task.trained_by.name, task.trained_by.uid) == (
        "default",
        "housing-rf",
        "job-uid",
    )
    assert task.may_reuse
    await world.run()
    world.edit(hyperparameters={"n_estimators": 20})
    await world.settle()
    assert not world.task("housing-rf-v2-1").may_reuse


async def test_the_trainer_sees_its_own_models_folder_and_nothing_else_of_the_store() -> None:
    spec = pod_spec_of(await the_job(storage={"claimName": "models"}))
    mounts = {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["/var/lib/aurora/store/california-housing"]["subPath"] == "default/california-housing"
    assert not mounts["/var/lib/aurora/store/california-housing"].get("readOnly")
    assert set(mounts) == {"/var/lib/aurora/store/california-housing", "/tmp"}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["store"]["persistentVolumeClaim"] == {"claimName": "models"}
    assert volumes["scratch"]["emptyDir"] == {}


async def test_the_pod_meets_the_restricted_standard() -> None:
    spec = pod_spec_of(await the_job())
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert spec["automountServiceAccountToken"] is False


async def test_the_trainer_reports_by_its_termination_message_and_serves_its_metrics() -> None:
    container = trainer_of(await the_job())
    assert container["name"] == "trainer"
    assert container["command"] == ["python", "-m", "aurora_runtime.trainer"]
    assert container["terminationMessagePolicy"] == "File"
    assert container["ports"] == [{"name": "metrics", "containerPort": 9090, "protocol": "TCP"}]


async def test_the_controllers_image_is_used_unless_the_user_names_one() -> None:
    assert trainer_of(await the_job())["image"] == RUNTIME_IMAGE
    own = trainer_of(await the_job(image="mine:1"))
    assert own["image"] == "mine:1"
    assert own["imagePullPolicy"] == "IfNotPresent"


async def test_placement_reaches_the_pod_and_auroras_labels_win() -> None:
    job = await the_job(
        placement={
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 5}],
            "affinity": {"nodeAffinity": {"x": 1}},
            "topologySpreadConstraints": [{"maxSkew": 1}],
            "priorityClassName": "batch",
            "serviceAccountName": "trainer",
            "imagePullSecrets": [{"name": "registry"}],
            "labels": {"team": "risk", labels.TRAINING_JOB: "forged"},
            "annotations": {"sidecar": "no"},
        }
    )
    spec = pod_spec_of(job)
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 5}]
    assert spec["affinity"] == {"nodeAffinity": {"x": 1}}
    assert spec["topologySpreadConstraints"] == [{"maxSkew": 1}]
    assert (spec["priorityClassName"], spec["serviceAccountName"]) == ("batch", "trainer")
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    metadata = job["spec"]["template"]["metadata"]
    assert metadata["labels"]["team"] == "risk"
    assert metadata["labels"][labels.TRAINING_JOB] == "housing-rf"
    assert metadata["annotations"] == {"sidecar": "no"}


async def test_placement_that_is_not_given_is_left_to_the_cluster() -> None:
    spec = pod_spec_of(await the_job())
    assert not {"nodeSelector", "tolerations", "affinity", "priorityClassName", "serviceAccountName"} & set(spec)


@pytest.mark.parametrize(
    ("limit", "threads"),
    [
        pytest.param("1500m", "2", id="rounded up"),
        pytest.param(4, "4", id="whole cores"),
        pytest.param("100m", "1", id="never none"),
        pytest.param("0.5", "1", id="decimals"),
        pytest.param("lots", None, id="unreadable: left alone"),
        pytest.param(None, None, id="no limit: left alone"),
    ],
)
async def test_threads_follow_the_cpu_limit(limit: str | int | None, threads: str | None) -> None:
    limits = {"memory": "2Gi"} | ({"cpu": limit} if limit is not None else {})
    container = trainer_of(await the_job(resources={"limits": limits}))
    variables = {item["name"]: item["value"] for item in container["env"]}
    assert variables.get("OMP_NUM_THREADS") == threads
    assert container["resources"]["limits"] == limits
