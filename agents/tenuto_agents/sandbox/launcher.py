"""The first program in the box: sets the limits, puts itself under the filter, hands over the listener, becomes the tool.

Run by path, with nothing but the standard library, before anything of the pull request is read:
`launcher.py SOCKET NUMBER_OF_SECCOMP TOOL ARGUMENTS...`. From the socket comes the filter, to it goes the listener's
descriptor, and one byte comes back once somebody watches.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import sys

MEMORY_BYTES_MAX = 4 * 1024**3
FILE_BYTES_MAX = 32 * 1024**2
CPU_SECONDS_MAX = 60
FILES_MAX = 256
PROCESSES_MAX = 256
_LIMITS = (
    (resource.RLIMIT_AS, MEMORY_BYTES_MAX), (resource.RLIMIT_FSIZE, FILE_BYTES_MAX), (resource.RLIMIT_CPU, CPU_SECONDS_MAX),
    (resource.RLIMIT_NOFILE, FILES_MAX), (resource.RLIMIT_NPROC, PROCESSES_MAX), (resource.RLIMIT_CORE, 0),
)  # fmt: skip
_NO_NEW_PRIVILEGES, _SET_FILTER, _NEW_LISTENER = 38, 1, 8


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main(descriptor: str, seccomp: str, *tool: str) -> None:
    """Become `tool`; raises OSError when the kernel refuses any step, and then nothing was run."""
    for limit, most in _LIMITS:
        # A machine may allow less than we would, and never more.
        hard = resource.getrlimit(limit)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (bound, bound))
    with socket.socket(fileno=int(descriptor)) as control:
        listener = _listen(int(seccomp), control.recv(65_536))
        socket.send_fds(control, [b"l"], [listener])
        os.close(listener)
        if control.recv(1) != b"g":
            raise OSError("nobody watches")
    os.execv(tool[0], tool)


def _listen(seccomp: int, program: bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    listener = int(libc.syscall(seccomp, _SET_FILTER, _NEW_LISTENER, ctypes.byref(_Program(len(program) // 8, program))))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "the kernel takes no filter with a listener")
    return listener


if __name__ == "__main__":
    main(*sys.argv[1:])
