"""The floor: an aiohttp application that reads the request and returns a constant. Argument: port."""

import json
import sys

from aiohttp import web

OUTPUT = {"name": "predict", "shape": [1], "datatype": "FP64", "data": [1.0]}
ANSWER = json.dumps({"model_name": "bench", "id": "", "outputs": [OUTPUT]}).encode()


async def infer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")


app = web.Application()
app.router.add_post("/v2/models/bench/infer", infer)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
