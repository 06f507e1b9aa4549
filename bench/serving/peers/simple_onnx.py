"""What one writes in an afternoon: aiohttp and an ONNX session, no checks. Arguments: port, model."""

import json
import sys

import numpy as np
import onnxruntime
from aiohttp import web

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name


async def infer(request: web.Request) -> web.Response:
    tensor = json.loads(await request.read())["inputs"][0]
    rows = np.asarray(tensor["data"], np.float64).reshape(tensor["shape"])
    predicted = session.run(None, {name: rows})[0].ravel().tolist()
    output = {"name": "predict", "shape": [len(predicted)], "datatype": "FP64", "data": predicted}
    return web.json_response({"model_name": "bench", "id": "", "outputs": [output]})


app = web.Application()
app.router.add_post("/v2/models/bench/infer", infer)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
