"""Stands between us and a child process, so that a killed parent leaves no orphan.

Run as a program, by path, with nothing but the standard library. Its standard input is a lifeline: when the parent goes
away, by whatever signal, the pipe closes, and the guard stops the child first gently and then by force. A death signal
set by the parent itself would not do: Linux ties it to the *thread* that started the child, and a thread may end long
before its process does. The guard has one thread, so it may use the death signal for its own child, against the case
that somebody kills the guard.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from types import FrameType
from typing import Any, NoReturn

LIFELINE = 0
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
REFUSED_EXIT_CODE = 126


class Stopped(BaseException):
    """Somebody asked the guard itself to stop; derived like KeyboardInterrupt so that nothing swallows it."""


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityWord(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _become(plan: dict[str, Any]) -> None:
    """In the child before exec: take the account of the plan, then ask for a signal when the guard dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    account = plan.get("account")
    if account is not None:
        uid, gid, reaches_all = account
        os.setgroups([])
        os.setgid(gid)
        if reaches_all:
            _checked(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(PR_SET_KEEPCAPS)")
        os.setuid(uid)
        if reaches_all:
            _keep_one_capability(libc)
    # Last, because Linux forgets the death signal whenever the account changes.
    _checked(libc.prctl(PR_SET_PDEATHSIG, plan["stop_signal"], 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != plan["guard"]:
        os._exit(REFUSED_EXIT_CODE)


def _keep_one_capability(libc: ctypes.CDLL) -> None:
    """Keep the right to pass directories of others through exec: a path below a closed home is still ours to use."""
    words = (_CapabilityWord * 2)()
    mask = 1 << CAP_DAC_OVERRIDE
    words[0] = _CapabilityWord(mask, mask, mask)
    header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
    _checked(libc.capset(ctypes.byref(header), ctypes.byref(words)), "capset")
    _checked(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "prctl(PR_CAP_AMBIENT)")


def _wait(child: subprocess.Popen[bytes]) -> bool:
    """Block until the child has ended (True) or the lifeline has closed (False)."""
    handle = os.pidfd_open(child.pid)
    try:
        while True:
            readable, _, _ = select.select([LIFELINE, handle], [], [])
            if handle in readable:
                return True
            if not os.read(LIFELINE, 1024):
                return False
    finally:
        os.close(handle)


def _stop(child: subprocess.Popen[bytes], stop_signal: int, grace_seconds: float) -> None:
    child.send_signal(stop_signal)
    try:
        child.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        child.kill()


def guard(plan: dict[str, Any]) -> int:
    """Run the plan's command until it ends or the lifeline closes; return its exit code, as a shell would say it."""
    plan["guard"] = os.getpid()
    child = subprocess.Popen(
        plan["command"],
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: _become(plan),  # noqa: PLW1509 - the guard has one thread
        pass_fds=plan["keep"],
        env=plan["environment"],
        cwd=plan["directory"],
    )
    try:
        ended = _wait(child)
    except Stopped:
        ended = False
    if not ended:
        _stop(child, plan["stop_signal"], plan["grace_seconds"])
    code = child.wait()
    return code if code >= 0 else 128 - code


def _stopped(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stopped)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(guard(json.loads(sys.argv[1])))
