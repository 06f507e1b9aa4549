"""What the kubelet says of any pod's containers. Pure readings."""

from collections.abc import Mapping
from typing import Any, Final

from aurora_controller.kube.meta import Manifest

IMAGE_REASONS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
"""Why a container waits for its image, in the kubelet's words."""
ORDINARY_REASONS: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
"""A container that waits for one of these only waits for its turn."""


def container_status(pod: Manifest, name: str) -> Mapping[str, Any]:
    """ContainerStatus of the container with this name; empty before the kubelet has seen the pod."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status.get("name") == name:
            found: Mapping[str, Any] = status
            return found
    return {}
