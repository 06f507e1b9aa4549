"""The counters of serving pods: each pod has an address of its own on loopback, where it tells that nobody asked it."""

import asyncio
import itertools
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from aurora_controller.api import labels
from aurora_controller.kube.meta import Manifest, labels_of, uid_of
from aurora_runtime.contract import COUNTERS_PATH, METRICS_PORT, ServingCounters


class PodServers:
    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        # Another run on this machine has other addresses, or nearly always.
        self._network = f"127.{1 + os.getpid() % 250}"
        self._running: dict[str, tuple[asyncio.Server, web.Server]] = {}

    async def start(self, pod: Manifest) -> str:
        """Its address. A pod that is started again, because its status was not seen yet, keeps the one it has."""
        if uid_of(pod) not in self._running:
            counting = web.Server(_counters_of(pod), access_log=None)
            # Nothing is awaited in there: a socket that is opened is written down, whatever ends this meanwhile.
            made = asyncio.get_running_loop().create_server(counting, sock=self._listen(), start_serving=False)
            self._running[uid_of(pod)] = await made, counting
        listening, _ = self._running[uid_of(pod)]
        address = listening.sockets[0].getsockname()[0]
        await listening.start_serving()
        return str(address)

    def _listen(self) -> socket.socket:
        while True:
            number = next(self._numbers)
            with suppress(OSError):
                return socket.create_server((f"{self._network}.{number // 250 % 250}.{1 + number % 250}", METRICS_PORT))

    async def keep(self, uids: set[str]) -> None:
        """Stops those of all other pods."""
        for uid in self._running.keys() - uids:
            listening, counting = self._running[uid]
            listening.close()
            await counting.shutdown(timeout=0.1)
            # Forgotten last: whoever is cancelled meanwhile leaves it to the next call.
            self._running.pop(uid, None)


def _counters_of(pod: Manifest) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    marks = labels_of(pod)
    counters = ServingCounters(
        model=marks[labels.MODEL],
        version=int(marks[labels.VERSION]),
        revision=marks[labels.REVISION],
        start_time=time.time(),
        requests=0,
        errors=0,
        in_flight=0,
    )

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text=counters.to_json(), status=200 if request.path == COUNTERS_PATH else 404)

    return answer
