"""What fitted scikit-learn estimators compute, without what they do around it on every call.

``predict`` of a forest of 100 trees starts a joblib pool and checks its input once more in every tree: 12 ms for a row
whose way through all the trees takes half a millisecond. A shortcut reads the same trees and coefficients and does the
same operations in the same order and type, so its answers have the same bits. Only exact types are known: a subclass
may compute anything. Whoever uses a shortcut compares it with ``predict`` first, see direct_engine.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from scipy.special import expit
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from aurora_runtime.store.descriptor import LABEL, PREDICTION, PROBABILITIES
from aurora_runtime.store.engine import Answers, Rows
from aurora_runtime.store.trees.estimators import boosted_sum, hist_boosted_sum, mean_of_trees

Shortcut = Callable[[Rows], Answers]
"""Answers as Engine.predict gives them. Raises OutOfRange."""


class OutOfRange(Exception):
    """A value overflows on the way to the estimator, which would refuse it in its own words."""


def shortcut_of(estimator: Any) -> Shortcut | None:
    """None where none is known for the estimator, a part of it, or an option of it."""
    if type(estimator) is Pipeline:
        return _pipeline(estimator)
    if type(estimator) is TransformedTargetRegressor:
        return _with_target(estimator)
    maker = _MAKERS.get(type(estimator))
    return maker(estimator) if maker is not None else None


# -- around an estimator


def _pipeline(pipeline: Any) -> Shortcut | None:
    last = shortcut_of(pipeline.steps[-1][1])
    if last is None:
        return None
    transforms = [_transform(step) for _, step in pipeline.steps[:-1] if step not in {None, "passthrough"}]

    def answer(rows: Rows) -> Answers:
        for transform in transforms:
            rows = _finite(transform(rows))
        return last(rows)

    return answer


def _transform(transformer: Any) -> Callable[[Rows], Any]:
    """Rows to rows, which a ColumnTransformer may make sparse."""
    known = _columns(transformer) if type(transformer) is ColumnTransformer else _of_columns(transformer)
    return transformer.transform if known is None else known


def _of_columns(transformer: Any) -> Callable[[Rows], Rows] | None:
    if type(transformer) is StandardScaler:
        return _standardized(transformer)
    if type(transformer) is OneHotEncoder and not transformer.sparse_output:
        return _coded(transformer)
    return None


def _standardized(scaler: Any) -> Callable[[Rows], Rows]:
    mean = scaler.mean_ if scaler.with_mean else None
    scale = scaler.scale_ if scaler.with_std else None

    def standardize(rows: Rows) -> Rows:
        if mean is not None:
            rows = rows - mean
        return rows if scale is None else rows / scale

    return standardize


def _coded(encoder: Any) -> Callable[[Rows], Rows] | None:
    """Dense, whatever the encoder itself gives. An unknown category is nobody's, or goes to the encoder's words."""
    grouped = encoder.drop is not None or encoder.min_frequency is not None or encoder.max_categories is not None
    if grouped or encoder.handle_unknown not in {"error", "ignore"}:
        return None
    refuses = encoder.handle_unknown == "error"
    ends = np.cumsum([len(categories) for categories in encoder.categories_])

    def code(rows: Rows) -> Rows:
        coded = np.zeros((len(rows), ends[-1]))
        for column, categories, end in zip(rows.T, encoder.categories_, ends, strict=True):
            place = np.searchsorted(categories, column).clip(max=len(categories) - 1)
            known = categories[place] == column
            if refuses and not known.all():
                raise OutOfRange
            coded[np.arange(len(rows)), place + end - len(categories)] = known
        return coded

    return code


def _columns(transformer: Any) -> Callable[[Rows], Any] | None:
    """Scalers and one-hot encoders side by side, joined as when they were fitted."""
    if transformer.transformer_weights is not None:
        return None
    parts = []
    for name, part, _ in transformer.transformers_:
        if part == "drop":
            continue
        known = _coded(part) if type(part) is OneHotEncoder else _of_columns(part)
        if known is None:
            return None
        parts.append((transformer._transformer_to_input_indices[name], known))  # noqa: SLF001  public by names only

    def join(rows: Rows) -> Any:
        joined = np.hstack([known(rows[:, columns]) for columns, known in parts])
        return csr_matrix(joined) if transformer.sparse_output_ else joined

    return join


def _with_target(model: Any) -> Shortcut | None:
    """A regressor whose target was standardised."""
    inner, scaler = shortcut_of(model.regressor_), model.transformer_
    if inner is None or type(scaler) is not StandardScaler or not (scaler.with_mean and scaler.with_std):
        return None

    def answer(rows: Rows) -> Answers:
        predicted = inner(rows)[PREDICTION] * scaler.scale_
        predicted += scaler.mean_
        return {PREDICTION: predicted}

    return answer


# -- trees: a leaf's values are (nodes, outputs, values), and a row's leaf is found in C


def _leaves(fitted: Any) -> Callable[[NDArray[np.float32]], NDArray[np.intp]]:
    apply: Callable[[NDArray[np.float32]], NDArray[np.intp]] = fitted.tree_.apply
    return apply


def _tree_regressor(tree: Any) -> Shortcut | None:
    if tree.n_outputs_ != 1:
        return None
    leaves, values = _leaves(tree), tree.tree_.value[:, 0, 0]
    return lambda rows: {PREDICTION: values[leaves(_as_float32(rows))]}


def _tree_classifier(tree: Any) -> Shortcut | None:
    if tree.n_outputs_ != 1:
        return None
    leaves, values = _leaves(tree), tree.tree_.value[:, 0, :]
    return lambda rows: _most_likely(tree.classes_, values[leaves(_as_float32(rows))])


def _forest_regressor(forest: Any) -> Shortcut | None:
    mean = mean_of_trees(forest)
    return None if mean is None else lambda rows: {PREDICTION: mean(_as_float32(rows)).ravel()}


def _forest_classifier(forest: Any) -> Shortcut | None:
    shares = mean_of_trees(forest)
    return None if shares is None else lambda rows: _most_likely(forest.classes_, shares(_as_float32(rows)))


def _boosted_regressor(boosted: Any) -> Shortcut | None:
    total = boosted_sum(boosted)
    return None if total is None else lambda rows: {PREDICTION: total(_as_float32(rows)).ravel()}


def _boosted_classifier(boosted: Any) -> Shortcut | None:
    total = boosted_sum(boosted)
    if total is None:
        return None

    def answer(rows: Rows) -> Answers:
        scores = _flat(total(_as_float32(rows)))
        second = scores >= 0 if scores.ndim == 1 else None
        return {
            LABEL: boosted.classes_[np.argmax(scores, axis=1) if second is None else second.astype(int)],
            PROBABILITIES: boosted._loss.predict_proba(scores),  # noqa: SLF001  the link is public nowhere
        }

    return answer


def _hist_regressor(boosted: Any) -> Shortcut | None:
    total = hist_boosted_sum(boosted)
    if total is None:
        return None
    inverse = boosted._loss.link.inverse  # noqa: SLF001  the link is public nowhere
    return lambda rows: {PREDICTION: inverse(total(rows).ravel())}


def _hist_classifier(boosted: Any) -> Shortcut | None:
    total = hist_boosted_sum(boosted)
    if total is None:
        return None

    def answer(rows: Rows) -> Answers:
        scores = total(rows)
        index = (scores.ravel() > 0).astype(int) if scores.shape[1] == 1 else np.argmax(scores, axis=1)
        probabilities = boosted._loss.predict_proba(scores)  # noqa: SLF001  the link is public nowhere
        return {LABEL: boosted.classes_[index], PROBABILITIES: probabilities}

    return answer


# -- linear models


def _linear_regressor(linear: Any) -> Shortcut | None:
    if linear.coef_.ndim != 1:
        return None
    return lambda rows: {PREDICTION: rows @ linear.coef_ + linear.intercept_}


def _ridge_classifier(ridge: Any) -> Shortcut:
    return lambda rows: {LABEL: _highest(ridge.classes_, _scores(ridge, rows))}


def _logistic_regression(logistic: Any) -> Shortcut:
    def answer(rows: Rows) -> Answers:
        scores = _scores(logistic, rows)
        label = _highest(logistic.classes_, scores)
        if scores.ndim == 1:
            second = expit(scores)
            return {LABEL: label, PROBABILITIES: np.stack([1 - second, second], axis=1)}
        shares = np.exp(scores - scores.max(axis=1).reshape(-1, 1))
        shares /= shares.sum(axis=1).reshape(-1, 1)
        return {LABEL: label, PROBABILITIES: shares}

    return answer


def _scores(linear: Any, rows: Rows) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = rows @ linear.coef_.T + linear.intercept_
    return _flat(scores)


def _highest(classes: NDArray[Any], scores: NDArray[np.float64]) -> NDArray[Any]:
    return classes.take((scores > 0).astype(int) if scores.ndim == 1 else np.argmax(scores, axis=1))


# -- what they share


def _most_likely(classes: NDArray[Any], shares: NDArray[np.float64]) -> Answers:
    return {LABEL: classes.take(np.argmax(shares, axis=1)), PROBABILITIES: shares}


def _flat(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two classes have one score."""
    return scores.ravel() if scores.ndim == 2 and scores.shape[1] == 1 else scores


def _as_float32(rows: Rows) -> NDArray[np.float32]:
    rounded: NDArray[np.float32] = _finite(np.ascontiguousarray(rows, dtype=np.float32))
    return rounded


def _finite(rows: Any) -> Any:
    if not np.isfinite(rows.data if issparse(rows) else rows).all():
        raise OutOfRange
    return rows


_MAKERS: Final[dict[type[Any], Callable[[Any], Shortcut | None]]] = {
    DecisionTreeRegressor: _tree_regressor,
    DecisionTreeClassifier: _tree_classifier,
    RandomForestRegressor: _forest_regressor,
    RandomForestClassifier: _forest_classifier,
    ExtraTreesRegressor: _forest_regressor,
    ExtraTreesClassifier: _forest_classifier,
    GradientBoostingRegressor: _boosted_regressor,
    GradientBoostingClassifier: _boosted_classifier,
    HistGradientBoostingRegressor: _hist_regressor,
    HistGradientBoostingClassifier: _hist_classifier,
    LinearRegression: _linear_regressor,
    Ridge: _linear_regressor,
    RidgeClassifier: _ridge_classifier,
    LogisticRegression: _logistic_regression,
}
