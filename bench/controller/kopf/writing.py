"""What both kopf variants write, and how: one status, and children by server-side apply."""

import datetime as dt


def tell(meta, status, patch):
    """The status of a Widget whose children have been accepted; kopf sends it with its own record."""
    generation = meta["generation"]
    if status.get("observedGeneration") == generation:
        return
    before = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {})
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    patch.status["observedGeneration"] = generation
    patch.status["conditions"] = [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Applied",
            "message": "",
            "observedGeneration": generation,
            "lastTransitionTime": before["lastTransitionTime"] if before.get("status") == "True" else now,
        }
    ]


async def apply(child, memo):
    # Decoding the answer into the client's models costs more than the request.
    response = await memo.patch[child["kind"]](
        child["metadata"]["name"],
        child["metadata"]["namespace"],
        child,
        field_manager="widget-controller",
        force=True,
        _content_type="application/apply-patch+yaml",
        _preload_content=False,
    )
    async with response:
        response.raise_for_status()
        await response.read()
