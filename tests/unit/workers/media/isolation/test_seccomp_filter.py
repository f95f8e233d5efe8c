"""The filter program, run by a small interpreter of classic BPF: both architectures on any machine."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.media.isolation import seccomp

X86 = {"open": 2, "socket": 41, "clone": 56, "fork": 57, "execve": 59, "kill": 62, "ptrace": 101, "prctl": 157,
       "tgkill": 234, "openat": 257, "io_uring_setup": 425, "clone3": 435, "pkey_mprotect": 329}  # fmt: skip
ARM = {"ioctl": 29, "openat": 56, "ptrace": 117, "kill": 129, "tgkill": 131, "prctl": 167, "socket": 198, "clone": 220,
       "execve": 221, "io_uring_setup": 425, "clone3": 435, "pkey_mprotect": 288}  # fmt: skip
ARCHITECTURES = [pytest.param(seccomp.X86_64, X86, id="x86_64"), pytest.param(seccomp.AARCH64, ARM, id="aarch64")]


def verdict(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would answer (linux/filter.h, the four instructions that the filter uses)."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *(arguments + (0,) * 6)[:6])
    code = list(struct.iter_unpack("<HBBI", program))
    at, accumulator = 0, 0
    while True:
        operation, yes, no, operand = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif operation == 0x15:
            at += yes if accumulator == operand else no
        elif operation == 0x45:
            at += yes if accumulator & operand else no
        else:
            assert operation == 0x06
            return int(operand)


@pytest.mark.parametrize(("arch", "dangerous"), ARCHITECTURES)
def test_what_decoding_does_not_need_is_refused(arch: seccomp.Architecture, dangerous: dict[str, int]) -> None:
    program = seccomp.filter_program(arch)
    assert {name: verdict(program, arch.audit, number) for name, number in dangerous.items()} == dict.fromkeys(
        dangerous, seccomp.REFUSE
    )


@pytest.mark.parametrize(("arch", "dangerous"), ARCHITECTURES)
@given(number=st.integers(0, 2**32 - 1) | st.integers(0, 500))
def test_allowed_is_exactly_the_list(arch: seccomp.Architecture, dangerous: dict[str, int], number: int) -> None:
    listed = {*arch.allowed.values(), *arch.prot_calls.values()}
    expected = seccomp.ALLOW if number in listed else seccomp.REFUSE
    assert verdict(seccomp.filter_program(arch), arch.audit, number) == expected
    assert number not in dangerous.values() or expected == seccomp.REFUSE


@pytest.mark.parametrize(("arch", "dangerous"), ARCHITECTURES)
@given(protection=st.integers(0, 2**64 - 1))
def test_no_memory_becomes_executable(arch: seccomp.Architecture, dangerous: dict[str, int], protection: int) -> None:
    for number in arch.prot_calls.values():
        answer = verdict(seccomp.filter_program(arch), arch.audit, number, 0, 4096, protection)
        assert answer == (seccomp.REFUSE if protection & 4 else seccomp.ALLOW)


@pytest.mark.parametrize(("arch", "dangerous"), ARCHITECTURES)
def test_another_entry_to_the_kernel_kills(arch: seccomp.Architecture, dangerous: dict[str, int]) -> None:
    assert verdict(seccomp.filter_program(arch), 0x40000003, 0) == seccomp.KILL_PROCESS


def test_the_x32_numbers_are_not_on_the_list() -> None:
    program = seccomp.filter_program(seccomp.X86_64)
    assert verdict(program, seccomp.X86_64.audit, 0x40000000 | 1) == seccomp.REFUSE
