"""The controller under test, in two forms.

``controller`` runs the whole wiring of ``app.py`` inside this process. It is killed by shutting its door first: from
that moment nothing of it reaches the server and nothing of the server reaches it, so whatever its tasks still do while
they are cancelled cannot be told, from the cluster, from a process that has ended. All its state goes with its objects;
what a process has beyond them (a Lease held by a thread, sockets, files) is what ``ControllerProcess`` is for: the
program itself, with SIGKILL, SIGSTOP and SIGTERM. Starting that costs a second of CPU, the other a few hundredths, so
each write of each story is a crash point of the first form and a sample of them of the second.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aurora_controller.app import open_manager
from aurora_controller.kube.clock import Clock, SystemClock
from aurora_controller.kube.config import StaticConfig
from aurora_controller.kube.manager import Manager
from aurora_controller.settings import ControllerSettings
from tests.faults.control_plane import CONTROLLER_TOKEN, DIES_WITH_US, ROOT
from tests.faults.proxy import Door

SHORT_LEASE = {"lease_seconds": 1.5, "renew_deadline_seconds": 1.0, "retry_seconds": 0.25}
"""A tenth of production's times. The API counts a Lease in whole seconds: the server says 2."""


@dataclass(kw_only=True)
class Running:
    """A controller inside this process."""

    door: Door
    manager: Manager
    task: "asyncio.Task[None]"
    stop: asyncio.Event

    async def kill(self) -> None:
        # Cancelled while it opens its ports, it would leave them open in this process: asyncio forgets their sockets.
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                while not (self.door.requests or self.task.done()):  # noqa: ASYNC110  no event tells of the first
                    await asyncio.sleep(0.001)
        self.door.shut()
        self.task.cancel()
        # However it ends; and whoever is cancelled while waiting here is cancelled.
        await asyncio.wait([self.task])


@asynccontextmanager
async def controller(
    door: Door, namespace: str, *, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """Killed at the end of the block, unless it was stopped within. What broke it meanwhile is raised there."""
    given = {"runtime_image": "runtime:1", "router_settle_seconds": 0, "leader_election": False, "concurrency": 4}
    made = ControllerSettings.model_validate(
        {
            **given,
            "namespaces": (namespace,),
            "pod_namespace": namespace,
            "health_port": 0,
            "metrics_port": 0,
            **settings,
        }
    )
    stop = asyncio.Event()
    config = StaticConfig(door.url, authorization=f"Bearer {CONTROLLER_TOKEN}")
    async with open_manager(made, config=config, clock=clock or SystemClock()) as manager:
        running = Running(door=door, manager=manager, task=asyncio.create_task(manager.run(stop)), stop=stop)
        try:
            yield running
            if running.task.done() and not door.is_shut and not running.task.cancelled():
                running.task.result()
        finally:
            await running.kill()


class ControllerProcess:
    """``python -m aurora_controller`` with leader election, its Lease and its objects in ``namespace``.

    ``arguments`` are Python's, for a test that needs another program around it.
    """

    def __init__(
        self,
        door: Door,
        namespace: str,
        folder: Path,
        *,
        name: str,
        arguments: Sequence[str] = ("-m", "aurora_controller"),
        **settings: Any,
    ) -> None:
        self.name = name
        self._arguments = arguments
        self.log = folder / f"{name}.log"
        self.token_file = folder / f"{name}.token"
        self.token_file.write_text(CONTROLLER_TOKEN)
        self.authority_file = folder / f"{name}.ca"
        """Whose certificates it trusts, where its door has one."""
        kubeconfig = folder / f"{name}.kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(door.url, self.token_file, self.authority_file)))
        given = {
            "runtime_image": "runtime:1",
            "router_settle_seconds": 0,
            "namespaces": namespace,
            "pod_namespace": namespace,
            "pod_name": name,
            "health_port": 0,
            "metrics_port": 0,
            **SHORT_LEASE,
            **settings,
        }
        variables = {f"AURORA_{key.upper()}": str(value) for key, value in given.items()}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AURORA_", "KUBE"))}
        self._environment = kept | variables | {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT / "src")}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, sys.executable, *self._arguments],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self, seconds: float = 15.0) -> int:
        """Its exit code."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, seconds)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()


def _kubeconfig(server: str, token_file: Path, authority_file: Path) -> dict[str, Any]:
    trust = {"certificate-authority": str(authority_file)} if server.startswith("https:") else {}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "one", "cluster": {"server": server, **trust}}],
        "users": [{"name": "one", "user": {"tokenFile": str(token_file)}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }
