"""Names, datatypes, shapes and ranges of a model's inputs and outputs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.store.descriptor import LABEL, PREDICTION, PROBABILITIES, Signature, TensorSpec
from aurora_runtime.trainer.dataset import Dataset
from aurora_runtime.trainer.evaluation import Answers


def signature_of(
    dataset: Dataset, train_features: NDArray[np.float64], answers: Answers, classes: NDArray[Any] | None
) -> Signature:
    """``answers`` tells which outputs there are, ``classes`` what labels and probability columns stand for."""
    lowest, highest = train_features.min(axis=0), train_features.max(axis=0)
    inputs = [
        TensorSpec(name=name, datatype="FP64", shape=[-1], minimum=float(low), maximum=float(high))
        for name, low, high in zip(dataset.feature_names, lowest, highest, strict=True)
    ]
    categories = None if classes is None else classes.tolist()
    outputs = {
        PREDICTION: TensorSpec(name=PREDICTION, datatype="FP64", shape=[-1]),
        LABEL: TensorSpec(name=LABEL, datatype="INT64", shape=[-1], categories=categories),
        PROBABILITIES: TensorSpec(
            name=PROBABILITIES, datatype="FP64", shape=[-1, len(categories or [])], categories=categories
        ),
    }
    return Signature(inputs=inputs, outputs=[outputs[name] for name in answers])
