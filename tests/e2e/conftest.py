"""One cluster for all tests, the controller in it, and a namespace of its own for each story."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import CONTROLLER_NAMESPACE, ROOT, Cluster
from tests.e2e.stories import NAMESPACES, Model


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster with a freshly installed controller; what an earlier, killed run left is gone."""
    cluster = Cluster.from_environment()
    cluster.kubectl("delete", "namespace", "-l", "aurora.io/e2e=true", "--wait=true", "--timeout=120s")
    install_controller(cluster)
    return cluster


def install_controller(cluster: Cluster) -> None:
    """As the README says for an existing cluster: CRDs, one Role per watched namespace, the controller."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "config" / "default"))
    role = cluster.kubectl("kustomize", str(ROOT / "config" / "namespace"))
    for namespace in NAMESPACES:
        cluster.create_namespace(namespace)
        cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=role)
    cluster.configure_controller(AURORA_NAMESPACES=",".join(NAMESPACES))


@pytest.fixture(scope="module", autouse=True)
def nothing_left_serving(cluster: Cluster) -> Iterator[None]:
    """What one file's tests serve is gone when the next file's begin: the node is small, and crash loops cost CPU."""
    yield
    for namespace in NAMESPACES:
        cluster.kubectl("delete", "-n", namespace, "mldeployments", "--all", "--wait=false")


@pytest.fixture(scope="session")
def tiny(cluster: Cluster) -> Model:
    """A small trained model that many tests serve; nobody changes it."""
    model = Model(cluster=cluster, namespace="e2e-shared", name="tiny")
    model.train()
    return model


@pytest.fixture
def sample() -> Callable[[str], Path]:
    """A file of ``config/samples``."""
    return lambda name: ROOT / "config" / "samples" / name


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """What the controller said last, beside a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        cluster = item.funcargs.get("cluster") if isinstance(item, pytest.Function) else None
        if isinstance(cluster, Cluster):
            log = cluster.run(
                "logs", "-n", CONTROLLER_NAMESPACE, "deployment/aurora-controller", "--tail=60", check=False
            ).stdout
            report.sections.append(("controller log", log))
