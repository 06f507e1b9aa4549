"""The four kinds of ``aurora.io/v1alpha1`` and where their objects live in the API."""

from typing import Final

from aurora_controller.api.labels import GROUP
from aurora_controller.kube.meta import Kind

VERSION: Final = "v1alpha1"

ML_TRAINING_JOB: Final = Kind(GROUP, VERSION, "MLTrainingJob", "mltrainingjobs")
ML_MODEL_VERSION: Final = Kind(GROUP, VERSION, "MLModelVersion", "mlmodelversions")
ML_MODEL: Final = Kind(GROUP, VERSION, "MLModel", "mlmodels")
ML_DEPLOYMENT: Final = Kind(GROUP, VERSION, "MLDeployment", "mldeployments")

MODEL_NAME: Final = "spec.modelName"
"""The field of three of them that names an MLModel; the cache can be asked by it."""
TRAINED_BY: Final = "spec.trainedBy.name"
"""The field of an MLModelVersion that names the MLTrainingJob that reserved it; the cache can be asked by it."""
