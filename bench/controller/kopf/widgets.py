"""The Widget controller on kopf: ``kopf run --all-namespaces --standalone --quiet widgets.py``."""

import kopf
from kubernetes_asyncio import client, config

from bench.controller import children
from bench.controller.kopf.writing import apply, tell

WIDGETS = ("bench.aurora.io", "v1alpha1", "widgets")
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


@kopf.on.cleanup()
async def close_client(memo, **_):
    await memo.api.close()


@kopf.index(*WIDGETS)
def widgets(namespace, name, body, **_):
    return {(namespace, name): body}


@kopf.index("apps", "v1", "deployments", labels=OURS)
@kopf.index("", "v1", "services", labels=OURS)
@kopf.index("networking.k8s.io", "v1", "ingresses", labels=OURS)
def owned(resource, namespace, name, body, **_):
    return {(resource.kind, namespace, name): dict(body)}


@kopf.on.resume(*WIDGETS)
@kopf.on.create(*WIDGETS)
@kopf.on.update(*WIDGETS, field="spec")
async def reconcile(body, meta, status, patch, memo, owned, **_):
    for child in children.desired(body):
        await ensure(child, memo, owned)
    tell(meta, status, patch)


# kopf maps no child to its owner: without this, a child that is deleted or edited stays so until the Widget changes.
@kopf.on.event("apps", "v1", "deployments", labels=OURS)
@kopf.on.event("", "v1", "services", labels=OURS)
@kopf.on.event("networking.k8s.io", "v1", "ingresses", labels=OURS)
async def child_changed(resource, meta, namespace, memo, widgets, owned, **_):
    owner = next((ref for ref in meta.get("ownerReferences", []) if ref.get("controller")), None)
    if owner is None:
        return
    for widget in widgets.get((namespace, owner["name"]), []):
        if widget.metadata["uid"] == owner["uid"] and "deletionTimestamp" not in widget.metadata:
            child = next(child for child in children.desired(widget) if child["kind"] == resource.kind)
            await ensure(child, memo, owned)


async def ensure(child, memo, owned):
    name, namespace = child["metadata"]["name"], child["metadata"]["namespace"]
    if any(children.covers(child, have) for have in owned.get((child["kind"], namespace, name), [])):
        return
    await apply(child, memo)
