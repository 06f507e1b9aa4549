"""The counters of serving pods: each pod has an address of its own on loopback, where it tells that nobody asked it."""

import itertools
import os
import time
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
        self._running: dict[str, web.ServerRunner] = {}

    async def start(self, pod: Manifest) -> str:
        """Its address. A pod that is started again, because its status was not seen yet, keeps the one it has."""
        if (running := self._running.get(uid_of(pod))) is not None and running.addresses:
            return str(running.addresses[0][0])
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

        runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        self._running[uid_of(pod)] = runner
        while True:
            number = next(self._numbers)
            address = f"{self._network}.{number // 250 % 250}.{1 + number % 250}"
            with suppress(OSError):
                await web.TCPSite(runner, address, METRICS_PORT).start()
                return address

    async def keep(self, uids: set[str]) -> None:
        """Stops those of all other pods."""
        for uid in self._running.keys() - uids:
            # Forgotten last: whoever is cancelled meanwhile leaves it to the next call.
            await self._running[uid].cleanup()
            self._running.pop(uid, None)
