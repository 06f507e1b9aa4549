"""What decides the trained model, and when two sets of it are the same.

Inputs are compared as values through today's schema, never as stored text: what an older controller wrote is read
into the same type first, so a field that was added with a default since then trains nothing anew.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from aurora_controller.api.v1alpha1.mltrainingjob import MLTrainingJobSpec, Run
from aurora_runtime.contract import DataOptions, TrainingInputs

_SHORT_FINGERPRINT_LENGTH = 8


def inputs_of(spec: MLTrainingJobSpec) -> TrainingInputs:
    """The inputs in a spec. The image counts only when the user set it."""
    return TrainingInputs(
        dataset=spec.dataset,
        data_revision=spec.data_revision,
        data=DataOptions(test_fraction=spec.data.test_fraction, seed=spec.data.seed),
        algorithm=spec.algorithm,
        task=spec.task.value,
        hyperparameters=_without_nulls(spec.hyperparameters),
        image=spec.image,
    )


def snapshot_of(inputs: TrainingInputs) -> dict[str, Any]:
    """What ``status.run.inputs`` keeps."""
    return inputs.model_dump(mode="json", by_alias=True, exclude_none=True)


def fingerprint(inputs: TrainingInputs) -> str:
    """SHA-256, in hex, of the values that differ from their defaults: a new defaulted field leaves it as it is."""
    return hashlib.sha256(_canonical(inputs).encode()).hexdigest()


def run_id(job_uid: str, number: int, inputs: TrainingInputs) -> str:
    """Identity of the job's ``number``-th run. Derived, so that a run whose status was never written finds itself."""
    return f"{job_uid}-{number}-{_short_fingerprint(inputs)}"


def job_uid_of(run: str) -> str:
    """The uid of the job that a run id belongs to."""
    return run.rsplit("-", 2)[0]


def answers(run: Run, inputs: TrainingInputs) -> bool:
    """Whether ``run`` is the answer to ``inputs``."""
    # The id decides too: should storing the snapshot ever lose a detail, such as a null deep inside a list, the
    # comparison alone would train again for ever.
    if run.id.endswith(f"-{_short_fingerprint(inputs)}"):
        return True
    recorded = recorded_inputs(run)
    return recorded is not None and _canonical(recorded) == _canonical(inputs)


def recorded_inputs(run: Run) -> TrainingInputs | None:
    """The inputs a run was started with, or None when they cannot be read any more."""
    try:
        return TrainingInputs.model_validate(run.inputs)
    except ValidationError:
        return None


def _short_fingerprint(inputs: TrainingInputs) -> str:
    return fingerprint(inputs)[:_SHORT_FINGERPRINT_LENGTH]


def _canonical(inputs: TrainingInputs) -> str:
    values = inputs.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps(_normalized(values), sort_keys=True, separators=(",", ":"))


def _normalized(value: Any) -> Any:
    """The API server stores 1.0 as 1, so both are one value; true stays apart from 1."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case Mapping():
            return {key: _normalized(item) for key, item in value.items()}
        case list():
            return [_normalized(item) for item in value]
        case _:
            return value


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    """Null means unset, as everywhere in Kubernetes; a merge patch could not store it either."""
    return {
        key: _without_nulls(item) if isinstance(item, Mapping) else item
        for key, item in value.items()
        if item is not None
    }
