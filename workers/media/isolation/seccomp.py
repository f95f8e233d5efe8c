"""A seccomp allow-list without a library: what a decoder child may still ask of the kernel.

The filter is a classic BPF program over `struct seccomp_data` (seccomp(2), linux/seccomp.h): system call number at
byte 0, architecture at 4, arguments from 16 on, eight bytes each. Everything that is not listed fails with EPERM; a
call through another architecture's entry kills the process. Listed is what decoding in memory and talking over an
open descriptor need: no open, socket, clone, execve, kill, ptrace, prctl, ioctl. mmap and mprotect are refused when
they ask for PROT_EXEC, so that no new machine code appears. tgkill is left out: `abort` ends in a fault instead.
"""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass

LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_IF_BITS = 0x45  # BPF_JMP | BPF_JSET | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

ALLOW = 0x7FFF0000
REFUSE = 0x00050001  # SECCOMP_RET_ERRNO | EPERM
KILL_PROCESS = 0x80000000

_NUMBER_AT, _ARCH_AT, _THIRD_ARGUMENT_AT = 0, 4, 32
_PROT_EXEC = 4
_SET_MODE_FILTER, _FLAG_TSYNC = 1, 1
_INSTRUCTION = struct.Struct("<HBBI")


@dataclass(frozen=True, slots=True)
class Architecture:
    """One kernel ABI: its audit name (linux/audit.h) and the numbers of the system calls that the filter names.

    `prot_calls` take a protection as their third argument and are allowed without PROT_EXEC.
    """

    audit: int
    seccomp: int
    allowed: dict[str, int]
    prot_calls: dict[str, int]


# arch/x86/entry/syscalls/syscall_64.tbl
X86_64 = Architecture(
    audit=0xC000003E,
    seccomp=317,
    allowed={
        "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "munmap": 11, "brk": 12, "rt_sigaction": 13,
        "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25, "madvise": 28, "getpid": 39,
        "exit": 60, "sigaltstack": 131, "gettid": 186, "futex": 202, "restart_syscall": 219, "clock_gettime": 228,
        "exit_group": 231, "getrandom": 318, "rseq": 334,
    },
    prot_calls={"mmap": 9, "mprotect": 10},
)  # fmt: skip

# include/uapi/asm-generic/unistd.h
AARCH64 = Architecture(
    audit=0xC00000B7,
    seccomp=277,
    allowed={
        "close": 57, "lseek": 62, "read": 63, "write": 64, "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98,
        "clock_gettime": 113, "sched_yield": 124, "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134,
        "rt_sigprocmask": 135, "rt_sigreturn": 139, "getpid": 172, "gettid": 178, "brk": 214, "munmap": 215,
        "mremap": 216, "madvise": 233, "getrandom": 278, "rseq": 293,
    },
    prot_calls={"mmap": 222, "mprotect": 226},
)  # fmt: skip

ARCHITECTURES = {"x86_64": X86_64, "aarch64": AARCH64}


def filter_program(arch: Architecture) -> bytes:
    """The BPF program for one architecture, eight bytes an instruction."""
    code = [
        (LOAD_WORD, 0, 0, _ARCH_AT),
        (JUMP_IF_EQUAL, 1, 0, arch.audit),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD_WORD, 0, 0, _NUMBER_AT),
    ]
    for number in arch.allowed.values():
        code += [(JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    for number in arch.prot_calls.values():
        code += [
            (JUMP_IF_EQUAL, 0, 4, number),
            (LOAD_WORD, 0, 0, _THIRD_ARGUMENT_AT),
            (JUMP_IF_BITS, 0, 1, _PROT_EXEC),
            (RETURN, 0, 0, REFUSE),
            (RETURN, 0, 0, ALLOW),
        ]
    code.append((RETURN, 0, 0, REFUSE))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)


class _Program(ctypes.Structure):
    """`struct sock_fprog` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install(arch: Architecture) -> None:
    """Put the filter over every thread of this process, for good; no_new_privs must be set.

    Raises OSError where the kernel (or a sandbox around it) refuses.
    """
    code = filter_program(arch)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(
        ctypes.c_long(arch.seccomp),
        ctypes.c_ulong(_SET_MODE_FILTER),
        ctypes.c_ulong(_FLAG_TSYNC),
        ctypes.byref(program),
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if result > 0:
        raise OSError(0, "a thread could not be put under the filter")
