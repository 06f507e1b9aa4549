"""How ``kubectl get`` shows each kind, and the CustomResourceDefinitions of all four."""

from typing import Final

from aurora_controller.api.schema import CustomResource, PrinterColumn
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.api.v1alpha1.mldeployment import MLDeployment
from aurora_controller.api.v1alpha1.mlmodel import MLModel
from aurora_controller.api.v1alpha1.mlmodelversion import MLModelVersion
from aurora_controller.api.v1alpha1.mltrainingjob import MLTrainingJob

_AGE: Final = PrinterColumn(
    name="Age", type="date", path=".metadata.creationTimestamp", description="When the object was created."
)

CUSTOM_RESOURCES: Final = (
    CustomResource(
        kind=ML_TRAINING_JOB,
        model=MLTrainingJob,
        short_name="mltj",
        columns=(
            PrinterColumn(name="Model", path=".spec.modelName", description="The model that gets the version."),
            PrinterColumn(name="Algorithm", path=".spec.algorithm", description="What is trained."),
            PrinterColumn(name="Status", path=".status.phase", description="Where the run stands."),
            PrinterColumn(name="Progress", path=".status.progressPercent", description="How far the trainer is."),
            PrinterColumn(
                name="Version", type="integer", path=".status.version", description="The version that came out."
            ),
            PrinterColumn(name="Metric", path=".status.primaryMetric", description="Score on the held-out rows."),
            PrinterColumn(
                name="Started", type="date", path=".status.run.startedAt", description="When the run started."
            ),
            _AGE,
        ),
    ),
    CustomResource(
        kind=ML_MODEL_VERSION,
        model=MLModelVersion,
        short_name="mlmv",
        columns=(
            PrinterColumn(name="Model", path=".spec.modelName", description="The model this is a version of."),
            PrinterColumn(name="Version", type="integer", path=".spec.version", description="Number of the version."),
            PrinterColumn(name="State", path=".status.state", description="What may be done with the version."),
            PrinterColumn(name="Algorithm", path=".status.algorithm", description="What was trained."),
            PrinterColumn(name="Metric", path=".status.primaryMetric", description="Score on the held-out rows."),
            PrinterColumn(name="Served-By", path=".status.serving", description="MLDeployments that serve it."),
            _AGE,
        ),
    ),
    CustomResource(
        kind=ML_MODEL,
        model=MLModel,
        short_name="mlm",
        columns=(
            PrinterColumn(
                name="Latest", type="integer", path=".status.latestVersion", description="Highest Ready version."
            ),
            PrinterColumn(
                name="Champion", type="integer", path=".status.champion", description="Version of the alias champion."
            ),
            PrinterColumn(
                name="Versions", type="integer", path=".status.readyVersions", description="How many are Ready."
            ),
            PrinterColumn(name="Serving", path=".status.serving", description="Who serves which version."),
            _AGE,
        ),
    ),
    CustomResource(
        kind=ML_DEPLOYMENT,
        model=MLDeployment,
        short_name="mld",
        columns=(
            PrinterColumn(name="Model", path=".spec.modelName", description="The model that is served."),
            PrinterColumn(name="Stable", path=".status.stable.revision", description="Revision behind the Service."),
            PrinterColumn(name="Canary", path=".status.canary.revision", description="Revision on trial."),
            PrinterColumn(name="Weight", path=".status.weight", description="Canary's share: asked (counted)."),
            PrinterColumn(
                name="Ready",
                path='.status.conditions[?(@.type=="Ready")].status',
                description="Whether predictions are answered.",
            ),
            PrinterColumn(name="URL", path=".status.url", description="Where predictions are asked for."),
            _AGE,
        ),
    ),
)
