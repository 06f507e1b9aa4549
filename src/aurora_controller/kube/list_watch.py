"""Where a reflector gets objects from: one collection, listed by page and watched."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aurora_controller.kube.client import with_kind
from aurora_controller.kube.clock import Clock
from aurora_controller.kube.errors import UnexpectedResponse
from aurora_controller.kube.meta import Kind, Manifest
from aurora_controller.kube.rest import RestClient
from aurora_controller.kube.watch import WatchEvent, watch


@dataclass(frozen=True, kw_only=True)
class Page:
    """A part of a list; ``continue_token`` asks for the next one and is empty on the last."""

    items: Sequence[Manifest]
    resource_version: str
    continue_token: str


class Source(Protocol):
    """Raises ApiError, and nothing else."""

    async def page(self, params: Mapping[str, str]) -> Page: ...

    def watch(self, params: Mapping[str, str], *, patience: Callable[[], float]) -> AsyncGenerator[list[WatchEvent]]:
        """Events until the server ends the stream; ``patience`` is how many seconds of silence to bear."""
        ...


@dataclass(frozen=True, kw_only=True)
class ListWatch:
    """Objects of ``kind`` in one namespace, or in all when it is None, under a label selector."""

    rest: RestClient
    kind: Kind
    namespace: str | None
    label_selector: str
    clock: Clock

    async def page(self, params: Mapping[str, str]) -> Page:
        response = await self.rest.request("GET", self.kind.path(self.namespace), params=self._selected(params))
        answer = response.json()
        items, metadata = answer.get("items") or [], answer.get("metadata") or {}
        if answer.get("kind") == "Table" or not isinstance(items, list) or not isinstance(metadata, dict):
            raise UnexpectedResponse(f"a {answer.get('kind')} in place of a list", code=response.code)
        return Page(
            items=list(with_kind(items, self.kind)),
            resource_version=metadata.get("resourceVersion", ""),
            continue_token=metadata.get("continue", ""),
        )

    def watch(self, params: Mapping[str, str], *, patience: Callable[[], float]) -> AsyncGenerator[list[WatchEvent]]:
        path = self.kind.path(self.namespace)
        return watch(self.rest, path, params=self._selected(params), patience=patience, clock=self.clock)

    def _selected(self, params: Mapping[str, str]) -> Mapping[str, str]:
        return {**params, "labelSelector": self.label_selector} if self.label_selector else params
