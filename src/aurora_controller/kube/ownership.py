"""Who owns an object, and what its children are called.

Names of children are derived, never random: a stale cache can then not lead to twins, and AlreadyExists after a
lost response is an answer instead of a riddle.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from aurora_controller.kube.meta import Kind, Manifest, uid_of

MAX_NAME_LENGTH = 63
"""Of a DNS label: what Services and label values allow."""
_HASH_LENGTH = 8


def owner_reference(obj: Mapping[str, Any], kind: Kind) -> Manifest:
    """Reference to the controlling owner, which must live in the child's namespace or in none.

    Deletion of the owner is not blocked: that would need the right to update the owner's finalizers.
    """
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": obj["metadata"]["name"],
        "uid": uid_of(obj),
        "controller": True,
        "blockOwnerDeletion": False,
    }


def controller_of(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The one owner reference with ``controller: true``."""
    references = obj["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def is_controlled_by(obj: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """By this very owner: a re-created one of the same name has another uid."""
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == uid_of(owner)


def child_name(parent: str, *parts: str | int, limit: int = MAX_NAME_LENGTH) -> str:
    """``parent-part-…``; past ``limit`` characters the tail gives way to a hash of the whole."""
    name = "-".join([parent, *map(str, parts)])
    if len(name) <= limit:
        return name
    return f"{name[: limit - _HASH_LENGTH - 1].rstrip('-.')}-{sha256(name.encode()).hexdigest()[:_HASH_LENGTH]}"
