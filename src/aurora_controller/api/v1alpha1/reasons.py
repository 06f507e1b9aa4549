"""Reasons that conditions of several kinds share: the same trouble has the same name wherever it is met."""

from typing import Final

CLAIM_NOT_FOUND: Final = "PersistentVolumeClaimNotFound"
CLAIM_UNBOUND: Final = "PersistentVolumeClaimUnbound"
IMAGE_PULL_FAILED: Final = "ImagePullFailed"
VERSION_UNREADABLE: Final = "VersionUnreadable"
MODEL_UNREADABLE: Final = "ModelUnreadable"
