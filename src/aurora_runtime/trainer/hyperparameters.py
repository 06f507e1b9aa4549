"""Hyperparameters: scikit-learn's names, with types, ranges and our defaults.

A default differs from scikit-learn's only where a comment says why.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from aurora_runtime.trainer.errors import InvalidInput

Trees = Annotated[int, Field(ge=1, le=5000)]
Depth = Annotated[int, Field(ge=1, le=128)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
NotNegative = Annotated[FiniteFloat, Field(ge=0)]
Fraction = Annotated[FiniteFloat, Field(gt=0, le=1)]
MaxFeatures = Literal["sqrt", "log2"] | Fraction | None
ClassWeight = Literal["balanced"] | None


class Hyperparameters(BaseModel):
    """Arguments of one estimator, made by ``parse_hyperparameters``."""

    model_config = ConfigDict(frozen=True)


class Forest(Hyperparameters):
    n_estimators: Trees = 100
    max_depth: Depth | None = None
    min_samples_split: Annotated[int, Field(ge=2)] = 2
    max_leaf_nodes: Annotated[int, Field(ge=2)] | None = None
    max_samples: Fraction | None = None


class ForestRegressor(Forest):
    # Fully grown trees (1) have several times the nodes and no better score: on 16,512 rows 1.9 million nodes against
    # 0.55 million, at an r2 that is lower by 0.001.
    min_samples_leaf: Annotated[int, Field(ge=1)] = 3
    max_features: MaxFeatures = 1.0


class ForestClassifier(Forest):
    min_samples_leaf: Annotated[int, Field(ge=1)] = 1
    max_features: MaxFeatures = "sqrt"
    class_weight: ClassWeight = None


class RandomForestRegressor(ForestRegressor):
    bootstrap: bool = True


class RandomForestClassifier(ForestClassifier):
    bootstrap: bool = True


class ExtraTreesRegressor(ForestRegressor):
    bootstrap: bool = False


class ExtraTreesClassifier(ForestClassifier):
    bootstrap: bool = False


class GradientBoosting(Hyperparameters):
    n_estimators: Trees = 100
    learning_rate: Positive = 0.1
    subsample: Fraction = 1.0
    max_depth: Depth = 3
    min_samples_split: Annotated[int, Field(ge=2)] = 2
    min_samples_leaf: Annotated[int, Field(ge=1)] = 1
    max_features: MaxFeatures = None


class HistGradientBoosting(Hyperparameters):
    max_iter: Trees = 100
    learning_rate: Positive = 0.1
    max_leaf_nodes: Annotated[int, Field(ge=2)] | None = 31
    max_depth: Depth | None = None
    min_samples_leaf: Annotated[int, Field(ge=1)] = 20
    l2_regularization: NotNegative = 0.0
    max_bins: Annotated[int, Field(ge=2, le=255)] = 255
    early_stopping: bool | Literal["auto"] = "auto"


class HistGradientBoostingClassifier(HistGradientBoosting):
    class_weight: ClassWeight = None


class Linear(Hyperparameters):
    fit_intercept: bool = True
    positive: bool = False


class Ridge(Hyperparameters):
    alpha: NotNegative = 1.0
    fit_intercept: bool = True


class RidgeClassifier(Ridge):
    class_weight: ClassWeight = None


class Logistic(Hyperparameters):
    C: Positive = 1.0
    fit_intercept: bool = True
    class_weight: ClassWeight = None
    tol: Positive = 1e-4
    # 100 iterations end before convergence on digits.
    max_iter: Annotated[int, Field(ge=1, le=100_000)] = 1000


class Knn(Hyperparameters):
    n_neighbors: Annotated[int, Field(ge=1, le=1000)] = 5
    weights: Literal["uniform", "distance"] = "uniform"
    metric: Literal["euclidean", "manhattan"] = "euclidean"


class Svm(Hyperparameters):
    C: Positive = 1.0
    kernel: Literal["linear", "poly", "rbf", "sigmoid"] = "rbf"
    gamma: Literal["scale", "auto"] | Positive = "scale"
    degree: Annotated[int, Field(ge=1, le=10)] = 3
    coef0: FiniteFloat = 0.0
    tol: Positive = 1e-3


class SvmRegressor(Svm):
    epsilon: NotNegative = 0.1


class SvmClassifier(Svm):
    class_weight: ClassWeight = None


class Mlp(Hyperparameters):
    hidden_layer_sizes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=8)
    ] = (100,)
    activation: Literal["identity", "logistic", "tanh", "relu"] = "relu"
    solver: Literal["adam", "sgd", "lbfgs"] = "adam"
    alpha: NotNegative = 1e-4
    learning_rate_init: Positive = 1e-3
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    max_iter: Annotated[int, Field(ge=1, le=100_000)] = 200
    tol: Positive = 1e-4
    early_stopping: bool = False


def parse_hyperparameters(model: type[Hyperparameters], values: dict[str, Any], *, algorithm: str) -> Hyperparameters:
    """``values`` through ``model``. Raises InvalidInput naming the hyperparameter and what is allowed for it."""
    unknown = sorted(set(values) - set(model.model_fields))
    if unknown:
        allowed = ", ".join(model.model_fields)
        raise InvalidInput(f"unknown hyperparameter {unknown[0]!r} of {algorithm}; allowed: {allowed}")
    for name, value in values.items():
        if isinstance(value, bool) and not _takes_bool(model, name):
            raise InvalidInput(
                f"hyperparameter {name!r} of {algorithm}: {value!r} is a boolean; {_expected(model, name)}"
            )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        name = str(error.errors(include_url=False)[0]["loc"][0])
        raise InvalidInput(
            f"hyperparameter {name!r} of {algorithm}: {values[name]!r} is not allowed; {_expected(model, name)}"
        ) from error


def _takes_bool(model: type[Hyperparameters], name: str) -> bool:
    return "boolean" in _types(model.model_json_schema()["properties"][name])


def _types(schema: dict[str, Any]) -> set[str]:
    return {option.get("type", "") for option in schema.get("anyOf", [schema])}


def _expected(model: type[Hyperparameters], name: str) -> str:
    """What the schema says about a hyperparameter, in words."""
    schema = model.model_json_schema()["properties"][name]
    return "expected " + " or ".join(_in_words(option) for option in schema.get("anyOf", [schema]))


def _in_words(schema: dict[str, Any]) -> str:
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if choices:
        return " or ".join(repr(choice) for choice in choices)
    if schema["type"] == "array":
        return f"a list of {_in_words(schema['items'])}"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = " and ".join(f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema)
    return f"{schema['type']} {limits}".rstrip()
