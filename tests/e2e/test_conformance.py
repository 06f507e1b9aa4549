"""The protocol as a client outside of the cluster meets it: through the ingress, with a key."""

from tests.conformance.checks import Group
from tests.conformance.kit import run
from tests.conformance.target import Example, Target
from tests.e2e.cluster import Cluster
from tests.e2e.descriptors import reference_for
from tests.e2e.stories import TINY_ROW, Model, Service
from tests.e2e.traffic import ask_until

GROUPS = (Group.INFERENCE, Group.BINARY, Group.COMPRESSION)
"""The others ask for paths, or for what is no HTTP, which the ingress answers itself."""


def test_predictions_conform_behind_the_ingress(cluster: Cluster, tiny: Model) -> None:
    service = Service.serve(tiny, "conforming")
    endpoint = service.endpoint()
    version = int(ask_until(endpoint, [TINY_ROW], status=200, seconds=30).version)
    known = reference_for(cluster, tiny.namespace, tiny.name, version)
    example = Example(
        tensor="input",
        rows=known.rows[:5],
        predictions=known.predictions[:5],
        tolerance=max(known.relative, known.absolute),
    )
    target = Target(url=endpoint.base_url, model=tiny.name, example=example, headers=endpoint.headers)
    outcomes = list(run(target, GROUPS))
    assert outcomes
    assert [(outcome.check.promise, outcome.reason) for outcome in outcomes if not outcome.passed] == []
