"""Memory that was freed and that the C library keeps."""

import ctypes


def return_freed_memory() -> None:
    """Gives it back to the system: loading frees several times the model, a burst what its requests were made of.

    Only glibc keeps it and can be asked.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
