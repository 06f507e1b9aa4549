"""A fitted model → the bytes of an ONNX graph whose input and outputs carry the signature's names and types."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from aurora_runtime.store.descriptor import LABEL, PREDICTION, PROBABILITIES
from aurora_runtime.trainer.conversion import linear, neighbors, support_vectors
from aurora_runtime.trainer.conversion.answer import Answer, Choice, Prediction
from aurora_runtime.trainer.conversion.graph import Graph
from aurora_runtime.trainer.errors import NotConvertible

_CONVERTERS: Final[dict[type[Any], Callable[[Graph, str, Any], Answer]]] = {
    LinearRegression: linear.linear_regression,
    Ridge: linear.linear_regression,
    RidgeClassifier: linear.ridge_classifier,
    LogisticRegression: linear.logistic_regression,
    MLPRegressor: linear.mlp_regressor,
    MLPClassifier: linear.mlp_classifier,
    KNeighborsRegressor: neighbors.knn_regressor,
    KNeighborsClassifier: neighbors.knn_classifier,
    SVR: support_vectors.svr,
    SVC: support_vectors.svc,
}


def to_onnx(model: Any) -> bytes:
    """Raises NotConvertible for a model, or an option of one, that has no graph."""
    graph = Graph(features=model.n_features_in_)
    match _convert(graph, graph.input, model):
        case Prediction(value=value):
            flat = graph.add("Reshape", value, graph.constant([-1]))
            return graph.to_bytes({PREDICTION: (flat, "FP64", [-1])})
        case Choice(index=index, probabilities=probabilities):
            classes = np.asarray(model.classes_)
            if not np.issubdtype(classes.dtype, np.integer):
                raise NotConvertible(f"class labels of type {classes.dtype} have no graph")
            label = graph.add("Gather", graph.constant(classes.astype(np.int64)), index)
            outputs = {LABEL: (label, "INT64", [-1])}
            if probabilities is not None:
                outputs[PROBABILITIES] = (probabilities, "FP64", [-1, len(classes)])
            return graph.to_bytes(outputs)


def _convert(graph: Graph, value: str, model: Any) -> Answer:
    if isinstance(model, TransformedTargetRegressor):
        return _unscaled(graph, _convert(graph, value, model.regressor_), model.transformer_)
    if isinstance(model, Pipeline):
        for _, transformer in model.steps[:-1]:
            value = _scaled(graph, value, transformer)
        return _convert(graph, value, model.steps[-1][1])
    converter = _CONVERTERS.get(type(model))
    if converter is None:
        raise NotConvertible(f"{type(model).__name__} has no graph")
    return converter(graph, value, model)


def _scaled(graph: Graph, value: str, transformer: Any) -> str:
    if type(transformer) is not StandardScaler:
        raise NotConvertible(f"{type(transformer).__name__} has no graph")
    centred = graph.add("Sub", value, graph.constant(transformer.mean_))
    return graph.add("Div", centred, graph.constant(transformer.scale_))


def _unscaled(graph: Graph, answer: Answer, scaler: Any) -> Answer:
    if not isinstance(answer, Prediction) or type(scaler) is not StandardScaler:
        raise NotConvertible("only a standardised target of a regression has a graph")
    scaled = graph.add("Mul", answer.value, graph.constant(scaler.scale_))
    return Prediction(value=graph.add("Add", scaled, graph.constant(scaler.mean_)))
