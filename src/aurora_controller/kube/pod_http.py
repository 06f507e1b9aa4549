"""One small question to one pod. Pods may run a user's image: what they answer is bounded and never trusted."""

from typing import Final

import aiohttp

MAX_BODY_BYTES: Final = 4096
POD_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError)
"""What comes of a pod that is starting, ending or behind a NetworkPolicy."""


async def get_from_pod(session: aiohttp.ClientSession, *, ip: str, port: int, path: str) -> bytes:
    """The body of a 200, or nothing when the status is another or the body is longer than MAX_BODY_BYTES.

    Raises POD_ERRORS; the deadline is the caller's to set.
    """
    host = f"[{ip}]" if ":" in ip else ip
    async with session.get(f"http://{host}:{port}{path}", allow_redirects=False) as response:
        if response.status != 200:
            return b""
        body = bytearray()
        async for chunk in response.content.iter_chunked(MAX_BODY_BYTES):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return b""
        return bytes(body)
