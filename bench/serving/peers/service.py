"""BentoML, which has no route of the protocol: one that takes and gives its JSON. MODEL_FILE names the model."""

import os

import bentoml
import joblib
import numpy as np
from pydantic import BaseModel


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Served:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL_FILE"])

    @bentoml.api(route="/v2/models/bench/infer")
    def infer(self, inputs: list[Tensor], id: str = "") -> dict:  # noqa: A002  as the protocol calls it
        rows = np.asarray(inputs[0].data, np.float64).reshape(inputs[0].shape)
        predicted = self.model.predict(rows)
        output = {"name": "predict", "shape": [len(predicted)], "datatype": "FP64", "data": predicted.tolist()}
        return {"model_name": "bench", "id": id, "outputs": [output]}
