"""A change reaches the traffic by a canary, and no request is lost on the way."""

from collections import Counter

import pytest

from tests.e2e.cluster import Cluster, Manifest
from tests.e2e.stories import TINY_ROW, Model, Service
from tests.e2e.traffic import Load, ask_many, ask_until

REQUESTS = 2000


@pytest.fixture(scope="module")
def model(cluster: Cluster) -> Model:
    """Version 1 of a model that these tests change."""
    model = Model(cluster=cluster, namespace="e2e-canary", name="changing")
    assert model.train() == 1
    return model


@pytest.fixture(scope="module")
def service(model: Model) -> Service:
    service = Service.serve(model, "changing", replicas=2)
    ask_until(service.endpoint(), [TINY_ROW], status=200, seconds=30)
    return service


@pytest.fixture(scope="module")
def canary(model: Model, service: Service) -> int:
    """A changed hyperparameter: version 2 gets the canary's weight."""
    version = model.train(hyperparameters={"alpha": 0.5})
    service.wait_canary(version, 10)
    return version


@pytest.fixture(scope="module")
def promoted(service: Service, canary: int) -> Load:
    """The load that ran from before the promotion until it was over."""
    with Load(endpoint=service.endpoint(), rows=[TINY_ROW]) as load:
        service.request("promote")
        service.wait_stable(canary)
    return load


def test_a_canary_gets_its_share_of_the_requests(service: Service, canary: int) -> None:
    ask_until(service.endpoint(), [TINY_ROW], status=200, seconds=30)
    answers = ask_many(service.endpoint(), [TINY_ROW], count=REQUESTS)
    assert Counter(answer.status for answer in answers) == {200: REQUESTS}
    share = sum(answer.version == str(canary) for answer in answers) / REQUESTS
    assert 0.08 <= share <= 0.12


def test_what_the_pods_counted_is_reported_as_observed_traffic(service: Service, canary: int) -> None:
    def verified(obj: Manifest) -> bool:
        observed = obj["status"].get("traffic", {}).get("observed")
        return bool(observed and observed["requests"] >= 200 and 5.0 <= float(observed["canaryPercent"]) <= 15.0)

    with Load(endpoint=service.endpoint(), rows=[TINY_ROW]):
        service.wait(verified, until="telling the observed share", seconds=150)


def test_a_promotion_under_load_loses_no_request(promoted: Load) -> None:
    assert len(promoted.answers) > 100
    assert promoted.failures == []


def test_after_a_promotion_all_traffic_is_on_the_new_version(service: Service, promoted: Load, canary: int) -> None:
    answers = ask_many(service.endpoint(), [TINY_ROW], count=200)
    assert Counter(answer.version for answer in answers) == {str(canary): 200}


def test_an_aborted_canary_loses_no_request_and_leaves_all_traffic_on_stable(
    model: Model, service: Service, promoted: Load, canary: int
) -> None:
    third = model.train(hyperparameters={"alpha": 2.0})
    service.wait_canary(third, 10)
    with Load(endpoint=service.endpoint(), rows=[TINY_ROW]) as load:
        service.request("abort")
        service.wait_stable(canary)
    assert load.failures == []
    answers = ask_many(service.endpoint(), [TINY_ROW], count=200)
    assert Counter(answer.version for answer in answers) == {str(canary): 200}
