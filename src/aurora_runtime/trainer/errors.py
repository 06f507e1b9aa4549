"""What can go wrong in training beside the store.

TrainingError
├── InvalidInput      a person must change the inputs: trying again gives the same
└── NotConvertible    this estimator has no ONNX graph; it is stored as joblib instead
"""


class TrainingError(Exception):
    """Base of everything the trainer raises itself."""


class InvalidInput(TrainingError):
    """The inputs of the run cannot be trained. The message names the input and what is allowed."""


class NotConvertible(TrainingError):
    """No ONNX graph gives this estimator's answers. The message says why."""
