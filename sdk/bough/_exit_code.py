"""The code that a script by hand ends with, whatever gave it: ``sys.exit(3)``, ``raise SystemExit(3)``, ``exit(3)``.

When Python calls its exit functions, nothing in it knows the code any more, and nothing of it runs later. So the C
library is asked: its ``on_exit`` calls a function with the code when the process ends, and ``fputc`` is one that writes
it, as one byte into a file. Nothing is patched, and it costs nothing before the end. Where there is no ``on_exit``
(macOS, musl), the code stays unknown.
"""

from __future__ import annotations

import os

from bough import _layout


def note(folder: str) -> bool:
    """Let the end of this process write its code into `folder`; return whether it will.

    Call it when Python ends: it loads ctypes, which nobody should pay for at the start.
    """
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        libc.fopen.restype = ctypes.c_void_p
        libc.setbuf.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        libc.on_exit.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        write = ctypes.cast(libc.fputc, ctypes.c_void_p)
        file = libc.fopen(os.fsencode(os.path.join(folder, _layout.EXIT_CODE)), b"we")
        if not file:
            return False
        libc.setbuf(file, None)  # written at once, whatever the rest of the end does
        return bool(libc.on_exit(write, file) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def read(folder: str) -> int | None:
    """Return the code that was written, None where none is."""
    try:
        with open(os.path.join(folder, _layout.EXIT_CODE), "rb") as file:
            data = file.read(1)
    except OSError:
        return None
    return data[0] if data else None
