"""Content codings of bodies: gzip and deflate, both ways. Pure, and worth a thread: zlib lets the event loop go on.

Source: RFC 9110, sections 8.4 and 12.5.3.
"""

import zlib
from typing import Final

from aurora_runtime.inference.errors import BodyTooLarge, InvalidRequest, UnsupportedCoding

CODINGS: Final = ("gzip", "deflate")
"""In the order in which they are preferred where a client has no preference."""
LEAST_BYTES: Final = 14 * 1024
"""Smaller answers are sent as they are. They arrive in TCP's first window (ten segments) whatever their size, so
compression would only cost: a tenth of a millisecond at 10 KB."""
_LEVEL: Final = 1
"""Level 6 takes 2 to 4 times as long and saves 2 to 4 % more of printed floats."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_BARE: Final = -zlib.MAX_WBITS


def chosen(accepted: str) -> str | None:
    """The coding for an answer to a client that sent ``accepted`` as Accept-Encoding; None: send it as it is."""
    weights: dict[str, float] = {}
    for item in accepted.lower().split(","):
        coding, _, parameters = item.partition(";")
        weights[coding.strip()] = _weight(parameters)
    best = max(CODINGS, key=lambda coding: weights.get(coding, weights.get("*", 0.0)))
    weight = weights.get(best, weights.get("*", 0.0))
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def compress(body: bytes, coding: str) -> bytes:
    """``coding`` is one of CODINGS."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP if coding == "gzip" else _ZLIB)
    return compressor.compress(body) + compressor.flush()


def known(codings: str) -> str | None:
    """The coding of a body that came with ``codings`` as Content-Encoding; None: it is as it is.

    Raises UnsupportedCoding, also for several codings on top of each other.
    """
    coding = codings.strip().lower()
    if coding in ("", "identity"):
        return None
    coding = coding.removeprefix("x-")
    if coding not in CODINGS:
        raise UnsupportedCoding(expected=", ".join(CODINGS), given=codings)
    return coding


def decompress(body: bytes, coding: str, *, limit: int) -> bytes:
    """At most ``limit`` bytes of memory are spent on the result. Raises BodyTooLarge and InvalidRequest.

    Deflate is understood with its zlib wrapper, as the standard says, and without it, as many clients send it.
    """
    window = _GZIP
    if coding == "deflate":
        wrapped = len(body) >= 2 and body[0] & 0x0F == zlib.DEFLATED and not int.from_bytes(body[:2], "big") % 31
        window = _ZLIB if wrapped else _BARE
    decompressor = zlib.decompressobj(window)
    try:
        plain = decompressor.decompress(body, limit)
        # One byte more than allowed tells a body that fits exactly from one that goes on.
        more = decompressor.decompress(decompressor.unconsumed_tail, 1)
    except zlib.error as error:
        raise InvalidRequest(f"body: expected {coding}, as Content-Encoding says: {error}") from None
    if more:
        raise BodyTooLarge(limit=limit)
    if not decompressor.eof:
        raise InvalidRequest(f"body: expected {coding}, as Content-Encoding says: it ends too early")
    if decompressor.unused_data:
        extra = len(decompressor.unused_data)
        raise InvalidRequest(f"body: expected nothing behind the end of the {coding} data, given {extra} bytes")
    return plain


def _weight(parameters: str) -> float:
    """The quality value of one coding, 1 if it has none; 0 for what is none."""
    name, _, value = parameters.partition("=")
    if not name.strip():
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if name.strip() == "q" and 0 <= weight <= 1 else 0.0
