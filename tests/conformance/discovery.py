"""Health and metadata."""

from typing import Any, Final

from tests.conformance.checks import Group, check, that
from tests.conformance.target import JSON, Failed, Target

DATATYPES: Final = frozenset(
    ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES")
)


def version_of(target: Target) -> str:
    """A version that the server says it has. Raises Failed when it tells none."""
    versions = target.get(target.path).ok().get("versions") or []
    told = target.infer(target.example.request()).ok().get("model_version")
    found = next((version for version in (*versions, told) if isinstance(version, str) and version), None)
    if found is None:
        raise Failed("neither the model's metadata nor a response tell a version")
    return found


def tensors_of(target: Target, field: str) -> list[dict[str, Any]]:
    """Inputs or outputs of the model's metadata. Raises Failed when there are none."""
    tensors = target.get(target.path).ok().get(field)
    if not isinstance(tensors, list) or not tensors:
        raise Failed(f"the model's metadata list no {field}: {tensors!r}")
    return tensors


def _server_metadata(target: Target, path: str) -> None:
    reply = target.get(path)
    if reply.status in (307, 308):  # The text of the protocol has no slash at the end, its OpenAPI document has one.
        reply = target.get("/v2")
    metadata = reply.ok()
    for name, kind in (("name", str), ("version", str), ("extensions", list)):
        that(isinstance(metadata.get(name), kind), f"{name}: expected a {kind.__name__}, given {metadata.get(name)!r}")


@check(Group.DISCOVERY, "GET /v2 tells name, version and extensions of the server")
def _(target: Target) -> None:
    _server_metadata(target, "/v2")


@check(Group.DISCOVERY, "GET /v2/ tells the same")
def _(target: Target) -> None:
    _server_metadata(target, "/v2/")


@check(Group.DISCOVERY, "GET /v2/health/live is 200")
def _(target: Target) -> None:
    status = target.get("/v2/health/live").status
    that(status == 200, f"status {status}")


@check(Group.DISCOVERY, "GET /v2/health/ready is 200")
def _(target: Target) -> None:
    status = target.get("/v2/health/ready").status
    that(status == 200, f"status {status}")


@check(Group.DISCOVERY, "GET /v2/models/<m>/ready tells name and ready")
def _(target: Target) -> None:
    ready = target.get(f"{target.path}/ready").ok()
    that(ready.get("name") == target.model, f"name: expected {target.model!r}, given {ready.get('name')!r}")
    that(ready.get("ready") is True, f"ready: expected true, given {ready.get('ready')!r}")


@check(Group.DISCOVERY, "GET /v2/models/<m>/versions/<v>/ready tells the same")
def _(target: Target) -> None:
    ready = target.get(f"{target.path}/versions/{version_of(target)}/ready").ok()
    that(ready.get("name") == target.model and ready.get("ready") is True, f"given {ready}")


@check(Group.DISCOVERY, "GET /v2/models/<m> tells name and platform")
def _(target: Target) -> None:
    metadata = target.get(target.path).ok()
    that(metadata.get("name") == target.model, f"name: expected {target.model!r}, given {metadata.get('name')!r}")
    that(isinstance(metadata.get("platform"), str), f"platform: expected text, given {metadata.get('platform')!r}")


@check(Group.DISCOVERY, "the model's metadata describe inputs and outputs by name, datatype and shape")
def _(target: Target) -> None:
    for field in ("inputs", "outputs"):
        for tensor in tensors_of(target, field):
            that(isinstance(tensor.get("name"), str), f"{field}: a tensor without a name: {tensor}")
            that(tensor.get("datatype") in DATATYPES, f"{field}: datatype {tensor.get('datatype')!r}")
            shape = tensor.get("shape")
            sizes = isinstance(shape, list) and all(type(size) is int and size >= -1 for size in shape)
            that(bool(sizes), f"{field}: shape {shape!r}")


@check(Group.DISCOVERY, "GET /v2/models/<m>/versions/<v> tells the same metadata")
def _(target: Target) -> None:
    versioned = target.get(f"{target.path}/versions/{version_of(target)}").ok()
    that(versioned.get("inputs") == target.get(target.path).ok().get("inputs"), "other inputs than unversioned")


@check(Group.DISCOVERY, "a response's outputs are among those of the metadata")
def _(target: Target) -> None:
    known = {tensor["name"]: tensor["datatype"] for tensor in tensors_of(target, "outputs")}
    for output in target.infer(target.example.request()).ok()["outputs"]:
        given = known.get(output["name"])
        that(given == output["datatype"], f"{output['name']} {output['datatype']} in a response, {known} in metadata")


@check(Group.DISCOVERY, "metadata are sent as application/json")
def _(target: Target) -> None:
    for path in ("/v2", target.path):
        given = target.get(path).headers.get("content-type", "")
        that(given.partition(";")[0].strip() == JSON, f"{path}: Content-Type {given!r}")
