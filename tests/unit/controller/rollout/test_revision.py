"""What makes a revision, what its pods look like, and that a newer controller changes neither."""

from typing import Any

import pytest

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.mldeployment import MLDeployment, MLDeploymentSpec
from aurora_controller.kube.meta import Manifest
from aurora_controller.rollout.revision import Revision
from aurora_controller.rollout.target import ModelVersion
from aurora_controller.rollout.template import keys_secret_in, render, with_keys
from aurora_runtime.inference.settings import InferenceSettings
from tests.unit.builders import a_deployment, a_digest
from tests.unit.controller.rollout.world import World

VERSION = ModelVersion(number=1, digest=a_digest(1), claim_name="aurora-models", size_bytes=3 * 1024 * 1024)


def a_revision(*, runtime_image: str = "runtime:1", version: ModelVersion = VERSION, **spec: Any) -> Revision:
    given = MLDeploymentSpec.model_validate({"modelName": "housing"} | spec)
    return Revision.of(given, version, runtime_image=runtime_image)


def a_template(**spec: Any) -> dict[str, Any]:
    deployment = MLDeployment.model_validate(a_deployment("housing", **spec))
    return with_keys(
        render(deployment, Revision.of(deployment.spec, VERSION, runtime_image="runtime:1")), "housing-api-keys"
    )


def test_a_revision_has_the_same_name_in_every_version_of_the_controller() -> None:
    """A changed name would open a canary of every deployment there is."""
    assert a_revision().name == "1-7e42e351"
    full: dict[str, Any] = {
        "image": "server:2",
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "placement": {
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "labels": {"team": "a"},
        },
    }
    assert a_revision(**full).name == "1-f3751bad"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({}, {"image": None, "placement": {}}, id="unset and default"),
        pytest.param({}, {"server": {"limits": {}, "logging": {"level": None}}}, id="a server without settings"),
        pytest.param(
            {},
            {"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}},
            id="the default written out",
        ),
        pytest.param(
            {"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}},
            {"resources": {"requests": {"cpu": "0.5", "memory": 1073741824}, "limits": {}}},
            id="another spelling",
        ),
        pytest.param(
            {"placement": {"nodeSelector": {"a": "1", "b": "2"}}},
            {"placement": {"nodeSelector": {"b": "2", "a": "1"}}},
            id="another order of keys",
        ),
        pytest.param(
            {"placement": {"tolerations": [{"key": "x"}]}},
            {"placement": {"tolerations": [{"key": "x", "value": None}]}},
            id="nothing and null",
        ),
    ],
)
def test_equal_values_make_one_revision(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert a_revision(**one).name == a_revision(**other).name


@pytest.mark.parametrize(
    "spec",
    [
        {"image": "runtime:1"},
        {"resources": {"requests": {"cpu": "101m"}}},
        {"resources": {}},
        {"placement": {"priorityClassName": "high"}},
        {"placement": {"labels": {"team": "a"}}},
        {"server": {"limits": {"threads": 2}}},
        {"server": {"logging": {"accessLogPercent": 0}}},
        {"server": {"libraryVersions": "Warn"}},
    ],
    ids=str,
)
def test_what_the_user_sets_makes_another_revision(spec: dict[str, Any]) -> None:
    assert a_revision(**spec).name != a_revision().name


def test_another_digest_of_the_same_number_is_another_revision() -> None:
    rebuilt = ModelVersion(number=1, digest=a_digest(9), claim_name="aurora-models")
    assert a_revision(version=rebuilt).name != a_revision().name


def test_the_runtime_image_of_the_controller_is_not_part_of_the_name() -> None:
    assert a_revision(runtime_image="runtime:1").name == a_revision(runtime_image="runtime:2").name


async def test_an_upgraded_controller_restarts_no_pod_and_says_that_it_would_do_otherwise() -> None:
    world = World()
    await world.run(10)  # until its pods also count as available
    stable = world.revision("stable")
    before, pods = world.workload(stable), {pod["metadata"]["uid"] for pod in world.pods()}
    world.runtime_image = "aurora-runtime:2"
    world.restart()
    await world.run(120)
    assert world.workload(stable) == before
    assert {pod["metadata"]["uid"] for pod in world.pods()} == pods
    told = world.condition("RuntimeUpdateAvailable")
    assert told["status"] == "True"
    assert "spec.image, spec.resources, spec.server or spec.placement" in told["message"]
    assert world.condition("Ready")["status"] == "True"
    world.publish(2)
    await world.run(20, until=lambda: world.phase == "Canary")
    (server,) = world.workload(world.revision("canary"))["spec"]["template"]["spec"]["containers"]
    assert server["image"] == "aurora-runtime:2"


async def test_an_image_of_the_users_own_is_no_runtime_update() -> None:
    world = World(image="mine:1")
    await world.run(10, until=lambda: world.phase == "Idle")
    world.runtime_image = "aurora-runtime:2"
    world.restart()
    await world.run(10)
    assert world.condition("RuntimeUpdateAvailable") == {}


def test_the_pod_serves_one_digest_of_one_model() -> None:
    (server,) = a_template()["spec"]["containers"]
    variables = {one["name"]: one["value"] for one in server["env"]}
    assert variables == {
        "AURORA_STORE": "/var/lib/aurora/store",
        "AURORA_MODEL": "california-housing",
        "AURORA_VERSION": "1",
        "AURORA_DIGEST": a_digest(1),
        "AURORA_REVISION": "1-7e42e351",
        "AURORA_API_KEYS_DIR": "/etc/aurora/api-keys",
        "AURORA_DRAIN_SECONDS": "10",
    }
    assert {port["name"]: port["containerPort"] for port in server["ports"]} == {"http": 8080, "metrics": 9090}


def test_what_the_user_sets_of_the_server_reaches_its_settings() -> None:
    """Read back by the server's own parser: a variable that it does not know, or a value that it refuses, fails."""
    server = {
        "limits": {"threads": 2, "queueLimit": 7, "maxBodyBytes": 2048},
        "logging": {
            "level": "Warning",
            "accessLogPercent": 5,
            "payloads": {"percent": 10, "redact": ["income", 'a "quoted", name']},
        },
        "libraryVersions": "Refuse",
    }
    (container,) = a_template(server=server)["spec"]["containers"]
    settings = InferenceSettings.from_command_line([], {one["name"]: one["value"] for one in container["env"]})
    assert settings.model_dump(
        include={
            *("threads", "queue_limit", "max_body_bytes", "library_versions"),
            *("log_level", "access_log_share", "payload_log"),
        }
    ) == {
        "threads": 2,
        "queue_limit": 7,
        "max_body_bytes": 2048,
        "log_level": "warning",
        "access_log_share": 0.05,
        "payload_log": {"percent": 10, "redact": ["income", 'a "quoted", name']},
        "library_versions": "refuse",
    }


@pytest.mark.parametrize(
    ("server", "variable"),
    [
        ({"limits": {"queueLimit": 7}}, {"name": "AURORA_QUEUE_LIMIT", "value": "7"}),
        (
            {"logging": {"payloads": {"percent": 1}}},
            {"name": "AURORA_PAYLOAD_LOG", "value": '{"percent":1,"redact":[]}'},
        ),
    ],
)
async def test_a_changed_server_opens_a_canary_and_leaves_the_stable_template_alone(
    server: dict[str, Any], variable: dict[str, str]
) -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    stable = world.revision("stable")
    before = world.workload(stable)["spec"]["template"]
    world.edit(server=server)
    await world.run(20, until=lambda: world.phase == "Canary")
    (container,) = world.workload(world.revision("canary"))["spec"]["template"]["spec"]["containers"]
    assert variable in container["env"]
    assert world.workload(stable)["spec"]["template"] == before


def test_the_pod_runs_under_the_restricted_pod_security_standard() -> None:
    pod = a_template()["spec"]
    (server,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} == {
        "persistentVolumeClaim",
        "secret",
        "emptyDir",
    }


def test_only_the_models_own_folder_is_mounted_and_it_cannot_be_written() -> None:
    (server,) = a_template()["spec"]["containers"]
    store = next(mount for mount in server["volumeMounts"] if mount["name"] == "store")
    assert store == {
        "name": "store",
        "mountPath": "/var/lib/aurora/store/california-housing",
        "subPath": "default/california-housing",
        "readOnly": True,
    }


def test_keys_are_readable_by_the_servers_group_alone() -> None:
    template = a_template()
    keys = next(volume for volume in template["spec"]["volumes"] if volume["name"] == "api-keys")
    assert keys["secret"] == {"secretName": "housing-api-keys", "defaultMode": 0o440}
    assert template["spec"]["securityContext"]["fsGroup"] == 65532
    assert keys_secret_in(template) == "housing-api-keys"


def test_the_scratch_volume_has_room_for_the_model() -> None:
    scratch = next(volume for volume in a_template()["spec"]["volumes"] if volume["name"] == "scratch")
    assert scratch["emptyDir"] == {"sizeLimit": "262Mi"}


def test_a_pod_is_given_more_time_to_stop_than_it_takes_to_drain() -> None:
    pod = a_template()["spec"]
    (server,) = pod["containers"]
    drain = next(int(one["value"]) for one in server["env"] if one["name"] == "AURORA_DRAIN_SECONDS")
    assert pod["terminationGracePeriodSeconds"] >= drain + 30


def test_probes_ask_the_health_paths_and_readiness_every_2_seconds() -> None:
    (server,) = a_template()["spec"]["containers"]
    asked = {name: server[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert asked == {
        "startupProbe": "/v2/health/ready",
        "readinessProbe": "/v2/health/ready",
        "livenessProbe": "/v2/health/live",
    }
    assert server["readinessProbe"]["periodSeconds"] == 2


def test_placement_is_taken_over_and_auroras_own_labels_win() -> None:
    placement = {
        "nodeSelector": {"disk": "fast"},
        "serviceAccountName": "model",
        "labels": {"team": "a", labels.MODEL: "another"},
        "annotations": {"note": "x"},
    }
    template = a_template(placement=placement)
    assert template["spec"]["nodeSelector"] == {"disk": "fast"}
    assert template["spec"]["serviceAccountName"] == "model"
    assert template["metadata"]["labels"]["team"] == "a"
    assert template["metadata"]["labels"][labels.MODEL] == "california-housing"
    assert template["metadata"]["annotations"] == {"note": "x"}


async def test_a_deployment_never_has_less_pods_than_asked_while_it_rolls() -> None:
    world = World()
    await world.run(5)
    workload: Manifest = world.workload(world.revision("stable"))
    assert workload["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    assert workload["spec"]["selector"]["matchLabels"] == {
        labels.DEPLOYMENT: "housing",
        labels.REVISION: world.revision("stable"),
    }
