"""The API server itself refuses what cannot be meant, in the words of the rule: what is wrong and what to do."""

import json
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, Manifest
from tests.e2e.stories import API_VERSION, training_job

NAMESPACE = "e2e-input"
LONG = "a" * 41


def model(name: str = "m", **spec: Any) -> Manifest:
    return {"apiVersion": API_VERSION, "kind": "MLModel", "metadata": {"name": name}, "spec": spec}


def version(name: str = "m-v1", **spec: Any) -> Manifest:
    given = {"modelName": "m", "version": 1, "run": "r", "trainedBy": {"name": "j", "uid": "u"}} | spec
    return {"apiVersion": API_VERSION, "kind": "MLModelVersion", "metadata": {"name": name}, "spec": given}


def served(name: str = "m", **spec: Any) -> Manifest:
    given = {"modelName": "m"} | spec
    return {"apiVersion": API_VERSION, "kind": "MLDeployment", "metadata": {"name": name}, "spec": given}


def annotated(key: str) -> Manifest:
    return served(routing={"annotations": {key: "x"}})


@pytest.mark.parametrize(
    ("manifest", "field", "remedy"),
    [
        pytest.param(training_job(LONG, "m"), "metadata", "choose another name", id="a long name"),
        pytest.param(training_job("1st", "m"), "metadata", "choose another name", id="a name that begins with a digit"),
        pytest.param(training_job("a.b", "m"), "metadata", "choose another name", id="a name with a dot"),
        pytest.param(served(LONG), "metadata", "choose another name", id="a long name of a deployment"),
        pytest.param(model(LONG), "metadata", "choose another name", id="a long name of a model"),
        pytest.param(training_job("m", LONG), "spec.modelName", "40", id="a long modelName"),
        pytest.param(
            served(strategy={"type": "RollingUpdate", "canaryWeight": 5}),
            "spec.strategy.canaryWeight",
            "remove canaryWeight, or set strategy.type: Canary",
            id="a weight without a canary",
        ),
        pytest.param(
            served(strategy={"canaryWeight": 101}), "spec.strategy.canaryWeight", "100", id="weight above 100"
        ),
        pytest.param(served(strategy={"canaryWeight": -1}), "spec.strategy.canaryWeight", "0", id="weight below 0"),
        pytest.param(
            served(routing={"type": "None"}),
            "spec.strategy",
            "set routing.type: Ingress, or strategy.type: RollingUpdate",
            id="a canary without a router",
        ),
        pytest.param(
            served(routing={"type": "None", "host": "a.example"}, strategy={"type": "RollingUpdate"}),
            "spec.routing.type",
            "set routing.type: Ingress, or remove them",
            id="a host that nothing routes",
        ),
        pytest.param(
            served(routing={"tls": {"secretName": "x"}}),
            "spec.routing.tls",
            "set routing.host",
            id="tls without a host",
        ),
        pytest.param(served(stableVersion=0), "spec.stableVersion", "1", id="stable version 0"),
        pytest.param(served(version=0), "spec.version", "correct it", id="version 0"),
        pytest.param(served(version="3"), "spec.version", "without quotes", id="a quoted number"),
        pytest.param(served(version="Champion"), "spec.version", "correct it", id="an alias in capitals"),
        *(
            pytest.param(annotated(key), "spec.routing.annotations", f"{key} would change", id=key)
            for key in (
                "nginx.ingress.kubernetes.io/canary",
                "nginx.ingress.kubernetes.io/canary-weight",
                "nginx.ingress.kubernetes.io/rewrite-target",
                "nginx.ingress.kubernetes.io/configuration-snippet",
                "nginx.ingress.kubernetes.io/auth-url",
                "nginx.ingress.kubernetes.io/affinity",
                "nginx.ingress.kubernetes.io/server-alias",
                "nginx.ingress.kubernetes.io/proxy-body-size/canary",
                "kubernetes.io/ingress.class",
                "traefik.ingress.kubernetes.io/router.middlewares",
                "aurora.io/model",
            )
        ),
        pytest.param(
            served(placement={"labels": {"aurora.io/model": "x"}}),
            "spec.placement.labels",
            "use another prefix",
            id="a label of Aurora's own",
        ),
        pytest.param(
            training_job("m", "m", placement={"annotations": {"aurora.io/run": "x"}}),
            "spec.placement.annotations",
            "use another prefix",
            id="an annotation of Aurora's own",
        ),
        pytest.param(
            served(resources={"limits": {"gpu": 1}}),
            "spec.resources.limits",
            "correct its name",
            id="a strange resource",
        ),
        pytest.param(
            served(resources={"requests": {"cpu": "1x"}}), "spec.resources.requests", "correct it", id="no quantity"
        ),
        pytest.param(
            training_job("m", "m", resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}),
            "spec.resources",
            "raise resources.limits",
            id="a request above its limit",
        ),
        pytest.param(model(aliases={"latest": 1}), "spec.aliases", "rename it", id="an alias called latest"),
        pytest.param(model(aliases={"Champion": 1}), "spec.aliases", "rename it", id="an alias that is no label"),
        pytest.param(model(aliases={"champion": 0}), "spec.aliases.champion", "1", id="an alias of version 0"),
        pytest.param(version("m-v2"), "metadata", "rename it", id="a version under another's name"),
        pytest.param(version("m-v01"), "metadata", "rename it", id="a version under a second name"),
        pytest.param(version("n-v1"), "metadata", "rename it", id="a version under another model's name"),
    ],
)
def test_a_rule_refuses_and_names_the_field_and_the_remedy(
    cluster: Cluster, manifest: Manifest, field: str, remedy: str
) -> None:
    message = cluster.refused(NAMESPACE, manifest)
    assert f"{field}: " in message
    assert remedy in message


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(training_job("a" * 40, "a" * 40), id="names of 40 characters"),
        pytest.param(version("a-v1-v2", modelName="a-v1", version=2), id="a model whose name looks like a version"),
        pytest.param(
            version(f"{'a' * 40}-v2147483647", modelName="a" * 40, version=2147483647), id="the longest version name"
        ),
        pytest.param(served(routing={"type": "None"}, strategy={"type": "RollingUpdate"}), id="no routing, no canary"),
        pytest.param(served(strategy={"canaryWeight": 0}), id="a canary without traffic"),
        pytest.param(
            served(routing={"host": "a.example", "tls": {"secretName": "x"}}), id="tls with the host that it is for"
        ),
        pytest.param(
            served(
                routing={
                    "annotations": {
                        "nginx.ingress.kubernetes.io/proxy-body-size": "8m",
                        "cert-manager.io/cluster-issuer": "internal",
                        "team": "risk",
                    }
                }
            ),
            id="harmless annotations",
        ),
        pytest.param(
            served(resources={"requests": {"cpu": 1, "memory": "500M"}, "limits": {"nvidia.com/gpu": 1, "cpu": "1.5"}}),
            id="quantities of every form",
        ),
        pytest.param(served(version=3), id="a number"),
        pytest.param(served(version="champion"), id="an alias"),
    ],
)
def test_what_can_be_meant_is_accepted(cluster: Cluster, manifest: Manifest) -> None:
    cluster.kubectl("apply", "--dry-run=server", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(manifest))


def test_a_version_never_changes_and_neither_does_its_digest(cluster: Cluster) -> None:
    def refused(*patch: str) -> str:
        result = cluster.run("patch", "-n", NAMESPACE, "mlmv", "fixed-v1", "--type=merge", *patch, check=False)
        assert result.returncode != 0
        return result.stderr

    def status(digest: str | None) -> tuple[str, ...]:
        return ("--subresource=status", "-p", json.dumps({"status": {"digest": digest}}))

    first, second = (f"sha256:{digit * 64}" for digit in "12")
    cluster.apply(NAMESPACE, version("fixed-v1", modelName="fixed"))
    try:
        assert "train a new one" in refused("-p", '{"spec": {"run": "another"}}')
        cluster.kubectl("patch", "-n", NAMESPACE, "mlmv", "fixed-v1", "--type=merge", *status(first))
        for change in (status(second), status(None), ("--subresource=status", "-p", '{"status": null}')):
            assert "train a new version" in refused(*change)
    finally:
        cluster.delete(NAMESPACE, "mlmv", "fixed-v1")
        cluster.delete(NAMESPACE, "mlmodel", "fixed")
