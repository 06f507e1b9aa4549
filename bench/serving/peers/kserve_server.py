"""KServe's Python server with the steps of its sklearnserver, which is not published as a package."""

import argparse
import logging
from typing import Any

import joblib
import uvicorn
from kserve import Model, ModelServer, model_server
from kserve.utils.utils import get_predict_input, get_predict_response

_init = uvicorn.Config.__init__


def _on_loopback(self: uvicorn.Config, *arguments: Any, **options: Any) -> None:
    """KServe 0.21 always listens on every address; there is no option."""
    _init(self, *arguments, **{**options, "host": "127.0.0.1"})


uvicorn.Config.__init__ = _on_loopback  # type: ignore[method-assign]


class Served(Model):  # type: ignore[misc]
    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self.path = path

    def load(self) -> bool:
        self.model = joblib.load(self.path)
        self.ready = True
        return True

    def predict(self, payload: Any, headers: Any = None) -> Any:  # noqa: ARG002  of the overridden method
        return get_predict_response(payload, self.model.predict(get_predict_input(payload)), self.name)


parser = argparse.ArgumentParser(parents=[model_server.parser])
parser.add_argument("--model_file")
if __name__ == "__main__":
    served = Served("bench", parser.parse_known_args()[0].model_file)
    served.load()
    server = ModelServer(enable_grpc=False)
    for noisy in ("uvicorn.access", "kserve.trace"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    server.start([served])
