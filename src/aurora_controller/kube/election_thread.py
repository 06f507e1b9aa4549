"""The leader election on a thread with an event loop and connections of its own.

A reconciler that blocks the main loop for seconds then delays reconciles, and not the renewal of the Lease.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from aurora_controller.kube.leader_election import LeaderElector


class ElectionThread:
    """An elector on a thread of its own, seen from the main event loop.

    ``open_elector`` is entered on that thread, so the connections it makes belong to that thread's loop.
    """

    def __init__(self, open_elector: Callable[[], AbstractAsyncContextManager[LeaderElector]]) -> None:
        self._open_elector = open_elector
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None
        self._elector: LeaderElector | None = None

    async def start(self) -> None:
        """Begins to compete for the Lease."""
        self._home = asyncio.get_running_loop()
        self._leading = asyncio.Event()
        self._ended: asyncio.Future[None] = self._home.create_future()
        running: asyncio.Future[None] = self._home.create_future()
        # A daemon: should the main thread die, no thread may keep on renewing for it.
        self._thread = threading.Thread(target=self._main, args=(running,), name="leader-election", daemon=True)
        self._thread.start()
        await running

    async def leading(self) -> None:
        """Returns once the Lease is ours. Raises whatever ended the election instead."""
        won: asyncio.Future[Any] = asyncio.ensure_future(self._leading.wait())
        try:
            await asyncio.wait([won, self._ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            won.cancel()
        if not self._leading.is_set():
            self._ended.result()
            raise RuntimeError("the election ended before it was won")

    async def lost(self) -> None:
        """Returns once the Lease is no longer ours. Raises what broke the elector, if that is why."""
        await asyncio.shield(self._ended)

    def problem(self) -> str | None:
        """Why the process should be restarted, for a liveness probe; see ``LeaderElector.problem``."""
        return self._elector.problem() if self._elector is not None else None

    async def stop(self) -> None:
        """Gives the Lease back if we have it, and ends the thread."""
        if self._thread is not None:
            # The thread's loop is closed when the election ended by itself.
            with suppress(RuntimeError):
                self._stop()
            await asyncio.to_thread(self._thread.join)
            self._thread = None
            if self._ended.done() and not self._ended.cancelled():
                self._ended.exception()

    def _main(self, running: "asyncio.Future[None]") -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._elect(running))
        except BaseException as problem:  # noqa: BLE001  it must reach the main thread, whatever it is
            error = problem
        self._at_home(_finish, running, None)
        self._at_home(_finish, self._ended, error)

    async def _elect(self, running: "asyncio.Future[None]") -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        self._at_home(_finish, running, None)
        async with self._open_elector() as elector:
            self._elector = elector
            term: asyncio.Future[Any] = asyncio.create_task(self._serve_term(elector))
            stopping: asyncio.Future[Any] = asyncio.create_task(stopped.wait())
            await asyncio.wait([term, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not term.done():
                term.cancel()
                with suppress(asyncio.CancelledError):
                    await term
                await elector.release()
            else:
                term.result()

    async def _serve_term(self, elector: LeaderElector) -> None:
        await elector.acquire()
        self._at_home(self._leading.set)
        await elector.keep()

    def _at_home(self, call: Callable[..., object], *arguments: object) -> None:
        # The main loop may be closed already when the process is on its way out.
        with suppress(RuntimeError):
            self._home.call_soon_threadsafe(call, *arguments)


def _finish(future: "asyncio.Future[None]", error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
