"""The seccomp filter of the sandbox: which system calls are handed to the watcher, as a BPF program (seccomp(2)).

The list is of what a parser never needs and an intruder begins with. Files are not on it: what can be opened is decided by
the mounts. `clone3` answers "no such call", so that threads are made by `clone`, whose flags a filter can see.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from dataclasses import dataclass

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCH_AT = 0, 4
_KILL, _ERRNO, _NOTIFY, _ALLOW = 0x80000000, 0x00050000, 0x7FC00000, 0x7FFF0000
_X32_BIT = 0x40000000

_X86_64 = {
    "execve": 59, "execveat": 322, "fork": 57, "vfork": 58, "clone": 56, "connect": 42, "bind": 49, "listen": 50, "sendto": 44,
    "sendmmsg": 307, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "mount": 165, "umount2": 166,
    "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "bpf": 321, "perf_event_open": 298, "keyctl": 250, "add_key": 248, "io_uring_setup": 425, "userfaultfd": 323,
    "memfd_create": 319, "init_module": 175, "finit_module": 313, "kexec_load": 246,
}  # fmt: skip
_AARCH64 = {
    "execve": 221, "execveat": 281, "clone": 220, "connect": 203, "bind": 200, "listen": 201, "sendto": 206, "sendmmsg": 269,
    "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51,
    "unshare": 97, "setns": 268, "open_tree": 428, "move_mount": 429, "fsopen": 430, "bpf": 280, "perf_event_open": 241,
    "keyctl": 219, "add_key": 217, "io_uring_setup": 425, "userfaultfd": 282, "memfd_create": 279, "init_module": 105,
    "finit_module": 273, "kexec_load": 104,
}  # fmt: skip
_CLONE3 = 435


@dataclass(frozen=True, slots=True)
class Machine:
    """What the filter must know about a processor: its number for audit, that of the call `seccomp`, and the watched calls."""

    arch: int
    seccomp: int
    calls: Mapping[str, int]
    x32: bool = False


MACHINES = {
    "x86_64": Machine(0xC000003E, 317, _X86_64, x32=True),
    "aarch64": Machine(0xC00000B7, 277, _AARCH64),
}
"""By `platform.machine()`. Another processor has no sandbox here, and an agent that demands one does not start on it."""


def screen(machine: Machine) -> bytes:
    """Return the filter as an array of `struct sock_filter`; foreign call conventions end the process."""
    program = [(_LOAD, 0, 0, _ARCH_AT), (_EQUAL, 1, 0, machine.arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER_AT)]
    if machine.x32:
        program += [(_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)]
    program += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for number in machine.calls.values():
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _NOTIFY)]
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *one) for one in program)
