"""Who may ask, what can be reached from outside, and bytes that nobody vouched for."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, condition_of
from tests.e2e.stories import TINY_ROW, Model, Service
from tests.e2e.traffic import ask, ask_until, get


@pytest.fixture(scope="module")
def service(tiny: Model) -> Service:
    service = Service.serve(tiny, "guarded")
    ask_until(service.endpoint(), [TINY_ROW], status=200, seconds=30)
    return service


def test_a_wrong_key_is_refused(service: Service) -> None:
    assert ask(service.endpoint(api_key="wrong"), [TINY_ROW]).status == 401


def test_a_missing_key_is_refused(service: Service) -> None:
    answer = ask(replace(service.endpoint(), api_key=None), [TINY_ROW])
    assert answer.status == 401
    assert set(answer.body) == {"error"}


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/counters",
        "/v2/health/ready",
        "/v2/models/tiny/../../metrics",
        "/1/descriptor.json",
        "/v2/repository/index",
    ],
)
def test_only_the_model_itself_can_be_reached_through_the_ingress(service: Service, path: str) -> None:
    headers = {"Authorization": f"Bearer {service.api_key()}", "Host": service.host or ""}
    assert get(service.cluster.ingress_url, path, headers).status == 404


def test_a_flipped_byte_is_refused_and_named_and_the_old_version_keeps_serving(cluster: Cluster) -> None:
    model = Model(cluster=cluster, namespace="e2e-shared", name="altered")
    model.train()
    service = Service.serve(model, "altered", version=1)
    ask_until(service.endpoint(), [TINY_ROW], status=200, seconds=30)
    second = model.train(hyperparameters={"alpha": 0.5})
    stored = cluster.store_of(model.namespace, model.name) / str(second)
    artifact = next(path for path in stored.iterdir() if path.name.startswith("model."))
    flip_a_byte(artifact)
    cluster.patch(model.namespace, "mldeployment", "altered", {"spec": {"version": second}})
    refused = cluster.wait_condition(
        model.namespace, "mldeployment", "altered", "CanaryHealthy", status="False", reason="CanaryCrashing", seconds=90
    )
    healthy = condition_of(refused, "CanaryHealthy")
    assert healthy is not None
    assert artifact.name in healthy["message"]
    answer = ask(service.endpoint(), [TINY_ROW])
    assert (answer.status, answer.version) == (200, "1")


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
