"""Why a model is not served, in words for the person who must act."""

from typing import Final

from aurora_runtime.inference.errors import GoldenRowsDiffer, LibrariesDiffer
from aurora_runtime.store.errors import ArtifactRefused, ModelNotFound, UnsafeModel

_RESTORE: Final = (
    "nothing of it was loaded. Restore the files of this version from a backup of the store, or train again"
)
_FIND: Final = "check the name, the version and the store's folder; train the model first if there is none"
_RETRAIN: Final = "train again with this image, or serve with the image that trained it"


def refusal_text(error: ArtifactRefused | ModelNotFound | GoldenRowsDiffer | LibrariesDiffer) -> str:
    """What is wrong, with file and digests where there are some, and the remedy."""
    match error:
        case ModelNotFound():
            remedy = _FIND
        case GoldenRowsDiffer() | LibrariesDiffer() | UnsafeModel():
            remedy = _RETRAIN
        case _:
            remedy = _RESTORE
    return f"{error}; {remedy}"
