"""Values that training never saw are answered and counted, and so is how the answers are spread."""

from dataclasses import replace

import numpy as np

from aurora_runtime.inference.metrics import ServerMetrics
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.model_watch import ModelWatch
from aurora_runtime.store.descriptor import Signature, TensorSpec
from tests.unit.runtime.inference.models import FEATURES, MODEL, PREDICTION, REVISION, Serving, a_body, a_tensor

SIGNATURE = Signature(
    inputs=[
        TensorSpec(name="rooms", datatype="FP64", shape=[-1], minimum=0.0, maximum=1.0),
        TensorSpec(name="age", datatype="FP64", shape=[-1], minimum=0.0, maximum=1.0),
        TensorSpec(name="income", datatype="FP64", shape=[-1]),
    ],
    outputs=[PREDICTION],
)
LABELS = f'model="{MODEL}",revision="{REVISION}",version="1"'


def watched(prediction_buckets: tuple[float, ...] = ()) -> tuple[ModelWatch, ServerMetrics]:
    metrics = ServerMetrics(model=MODEL, version=1, revision=REVISION)
    metrics.watch = ModelWatch(SIGNATURE, prediction_buckets=prediction_buckets)
    return metrics.watch, metrics


def values(metrics: ServerMetrics, name: str, label: str) -> dict[str, float]:
    """The samples called so, by the value of one label."""
    return {
        sample.labels[label]: sample.value
        for family in metrics.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_values_outside_the_training_range_are_counted_by_feature() -> None:
    watch, metrics = watched()
    watch.observe({"rooms": 2, "age": 1}, {"prediction": np.zeros(3)})
    watch.observe({"rooms": 1}, {"prediction": np.zeros(1)})
    assert values(metrics, "aurora_inference_out_of_range_total", "feature") == {"rooms": 3, "age": 1, "income": 0}


def test_predictions_fall_into_the_buckets_of_the_descriptor_and_an_edge_belongs_to_its_bucket() -> None:
    watch, metrics = watched((1.0, 2.0))
    watch.observe({}, {"prediction": np.array([0.5, 1.0, 1.5, 9.0])})
    watch.observe({}, {"prediction": np.array([2.0])})
    assert values(metrics, "aurora_inference_prediction_bucket", "le") == {"1.0": 2, "2.0": 4, "+Inf": 5}
    assert values(metrics, "aurora_inference_prediction_sum", "model") == {MODEL: 14.0}


def test_predictions_are_counted_alike_whether_they_come_together_or_alone() -> None:
    answers = np.round(np.random.default_rng(1).normal(size=50), 1)
    together, one = watched((-0.5, 0.0, 0.5))
    alone, other = watched((-0.5, 0.0, 0.5))
    together.observe({}, {"prediction": answers})
    for answer in answers:
        alone.observe({}, {"prediction": np.array([answer])})
    name, label = "aurora_inference_prediction_bucket", "le"
    assert values(one, name, label) == values(other, name, label)


def test_without_buckets_in_the_descriptor_there_is_no_distribution() -> None:
    watch, metrics = watched()
    watch.observe({}, {"prediction": np.zeros(1)})
    assert b"aurora_inference_prediction" not in metrics.render()


async def test_a_value_outside_the_range_is_answered_and_counted(serving: Serving, model: LoadedModel) -> None:
    descriptor = model.descriptor.model_copy(update={"signature": SIGNATURE, "prediction_buckets": [0.0]})
    serving.routes.serve(replace(model, descriptor=descriptor))
    reply = await serving.infer(a_body(a_tensor(data=[7.0, 0.5, 0.5])))
    assert reply.status == 200
    assert reply.body["parameters"] == {f"out_of_range.{FEATURES[0]}": 1}
    counted = values(serving.metrics, "aurora_inference_out_of_range_total", "feature")
    assert counted == dict(zip(FEATURES, (1, 0, 0), strict=True))
    assert values(serving.metrics, "aurora_inference_prediction_count", "model") == {MODEL: 1}


async def test_predicted_labels_are_counted(species: Serving) -> None:
    reply = await species.infer()
    label = reply.body["outputs"][0]["data"][0]
    assert values(species.metrics, "aurora_inference_predicted_label_total", "label") == {label: 1}
