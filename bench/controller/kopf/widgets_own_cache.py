"""As widgets.py, with a cache of its own: kopf's indices make a start with thousands of objects slow."""

import kopf
from kubernetes_asyncio import client, config

from bench.controller import children
from bench.controller.kopf.writing import apply, tell

WIDGETS = ("bench.aurora.io", "v1alpha1", "widgets")
API_VERSIONS = {"Deployment": "apps/v1", "Service": "v1", "Ingress": "networking.k8s.io/v1"}
OURS = {"app.kubernetes.io/managed-by": "widget-controller"}


@kopf.on.login()
def login(**kwargs):
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.startup()
async def open_client(memo, **_):
    await config.load_kube_config()
    api = client.ApiClient()
    memo.api = api
    memo.patch = {
        "Deployment": client.AppsV1Api(api).patch_namespaced_deployment,
        "Service": client.CoreV1Api(api).patch_namespaced_service,
        "Ingress": client.NetworkingV1Api(api).patch_namespaced_ingress,
    }
    memo.widgets, memo.owned = {}, {}
    lists = {
        "Deployment": client.AppsV1Api(api).list_deployment_for_all_namespaces,
        "Service": client.CoreV1Api(api).list_service_for_all_namespaces,
        "Ingress": client.NetworkingV1Api(api).list_ingress_for_all_namespaces,
    }
    for kind, list_all in lists.items():
        selector = ",".join(f"{label}={value}" for label, value in OURS.items())
        async with await list_all(label_selector=selector, _preload_content=False) as response:
            response.raise_for_status()
            for item in (await response.json())["items"]:
                key = kind, item["metadata"]["namespace"], item["metadata"]["name"]
                memo.owned[key] = {"apiVersion": API_VERSIONS[kind], "kind": kind, **item}


@kopf.on.cleanup()
async def close_client(memo, **_):
    await memo.api.close()


@kopf.on.event(*WIDGETS)
async def widget_seen(event, memo, namespace, name, body, **_):
    if event["type"] == "DELETED":
        memo.widgets.pop((namespace, name), None)
    else:
        memo.widgets[namespace, name] = body


@kopf.on.resume(*WIDGETS)
@kopf.on.create(*WIDGETS)
@kopf.on.update(*WIDGETS, field="spec")
async def reconcile(body, meta, status, patch, memo, **_):
    for child in children.desired(body):
        await ensure(child, memo)
    tell(meta, status, patch)


# kopf maps no child to its owner: without this, a child that is deleted or edited stays so until the Widget changes.
@kopf.on.event("apps", "v1", "deployments", labels=OURS)
@kopf.on.event("", "v1", "services", labels=OURS)
@kopf.on.event("networking.k8s.io", "v1", "ingresses", labels=OURS)
async def child_changed(event, resource, meta, namespace, name, body, memo, **_):
    if event["type"] == "DELETED":
        memo.owned.pop((resource.kind, namespace, name), None)
    else:
        memo.owned[resource.kind, namespace, name] = dict(body)
    owner = next((ref for ref in meta.get("ownerReferences", []) if ref.get("controller")), None)
    if owner is None:
        return
    widget = memo.widgets.get((namespace, owner["name"]))
    if widget is None or widget.metadata["uid"] != owner["uid"] or "deletionTimestamp" in widget.metadata:
        return
    child = next(child for child in children.desired(widget) if child["kind"] == resource.kind)
    await ensure(child, memo)


async def ensure(child, memo):
    name, namespace = child["metadata"]["name"], child["metadata"]["namespace"]
    if children.covers(child, memo.owned.get((child["kind"], namespace, name))):
        return
    await apply(child, memo)
