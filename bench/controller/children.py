"""The children a Widget must have, and whether an object is as it must be."""

from typing import Any

Manifest = dict[str, Any]


def desired(widget: Manifest) -> list[Manifest]:
    return [deployment(widget), service(widget), ingress(widget)]


def covers(want: Any, have: Any) -> bool:
    """Whether all that is wanted is there; fields we do not set belong to others."""
    if isinstance(want, dict):
        return isinstance(have, dict) and all(key in have and covers(value, have[key]) for key, value in want.items())
    if isinstance(want, list):
        return isinstance(have, list) and len(want) == len(have) and all(map(covers, want, have))
    return bool(want == have)


def selector(widget: Manifest) -> dict[str, str]:
    return {"app.kubernetes.io/name": "widget", "app.kubernetes.io/instance": widget["metadata"]["name"]}


def labels(widget: Manifest) -> dict[str, str]:
    return selector(widget) | {"app.kubernetes.io/managed-by": "widget-controller"}


def metadata(widget: Manifest) -> Manifest:
    owner = widget["metadata"]
    return {
        "name": owner["name"],
        "namespace": owner["namespace"],
        "labels": labels(widget),
        "ownerReferences": [
            {
                "apiVersion": "bench.aurora.io/v1alpha1",
                "kind": "Widget",
                "name": owner["name"],
                "uid": owner["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def http_probe(path: str, *, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "successThreshold": 1,
        "failureThreshold": failures,
    }


def deployment(widget: Manifest) -> Manifest:
    name, spec = widget["metadata"]["name"], widget["spec"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(widget),
        "spec": {
            "replicas": spec["replicas"],
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": selector(widget)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels(widget)},
                "spec": {
                    "terminationGracePeriodSeconds": 45,
                    "automountServiceAccountToken": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 10001,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "app",
                            "image": spec["image"],
                            "ports": [
                                {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                                {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
                            ],
                            "env": [
                                {"name": "WIDGET_NAME", "value": name},
                                {
                                    "name": "POD_NAME",
                                    "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
                                },
                            ],
                            "resources": {
                                "requests": {"cpu": "100m", "memory": "128Mi"},
                                "limits": {"memory": "256Mi"},
                            },
                            "readinessProbe": http_probe("/readyz", period=5, failures=3),
                            "livenessProbe": http_probe("/healthz", period=10, failures=6),
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                        }
                    ],
                    "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
                },
            },
        },
    }


def service(widget: Manifest) -> Manifest:
    scrape = {"prometheus.io/scrape": "true", "prometheus.io/port": "9090", "prometheus.io/path": "/metrics"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(widget) | {"annotations": scrape},
        "spec": {
            "type": "ClusterIP",
            "selector": selector(widget),
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
            "ipFamilyPolicy": "SingleStack",
            "ports": [
                {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http", "appProtocol": "http"},
                {"name": "metrics", "port": 9090, "protocol": "TCP", "targetPort": "metrics"},
            ],
        },
    }


def ingress(widget: Manifest) -> Manifest:
    name = widget["metadata"]["name"]
    host = f"{name}.widgets.example.com"
    nginx = {
        "nginx.ingress.kubernetes.io/proxy-body-size": "8m",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "30",
        "nginx.ingress.kubernetes.io/ssl-redirect": "true",
    }

    def path(prefix: str, port: str) -> Manifest:
        backend = {"service": {"name": name, "port": {"name": port}}}
        return {"path": prefix, "pathType": "Prefix", "backend": backend}

    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(widget) | {"annotations": nginx},
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": [host], "secretName": f"{name}-tls"}],
            "rules": [{"host": host, "http": {"paths": [path("/api", "http"), path("/metrics", "metrics")]}}],
        },
    }
