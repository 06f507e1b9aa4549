"""What the restricted Pod Security Standard asks of a pod, and a read-only root file system besides. Fresh values."""

from typing import Any, Final

USER_ID: Final = 65532
"""User and group of every pod, and the group that owns its volumes: nobody in particular."""


def restricted_pod() -> dict[str, Any]:
    """PodSecurityContext."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def restricted_container() -> dict[str, Any]:
    """SecurityContext of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
