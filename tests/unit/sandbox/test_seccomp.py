"""The filter, executed here by a small interpreter of its instructions, and its table against the system's headers."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from assay.sandbox.seccomp import ARCHITECTURES, DENIED, OF_ITSELF_ONLY, seccomp_filter

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def verdict(
    machine: str, number: int, argument: int = 0, second: int = 0, architecture: int | None = None, **options
) -> int:
    """What the kernel would do with a call."""
    code = list(struct.iter_unpack("<HBBI", seccomp_filter(machine, **options)))
    data = struct.pack("<iIQQQ", number, architecture or ARCHITECTURES[machine], 0, argument, second)
    at = accumulator = 0
    while True:
        kind, yes, no, k = code[at]
        at += 1
        if kind == 0x20:
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif kind == 0x06:
            return k
        else:
            holds = {0x15: accumulator == k, 0x25: accumulator > k, 0x45: bool(accumulator & k)}[kind]
            at += yes if holds else no


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_denied_calls_fail_and_others_pass(machine):
    assert {verdict(machine, number) for number in DENIED[machine].values()} == {EPERM}
    # read, write, close, exit_group, getpid
    ordinary = {"x86_64": (0, 1, 3, 231, 39), "aarch64": (63, 64, 57, 94, 172)}[machine]
    assert {verdict(machine, number) for number in ordinary} == {ALLOW}


@pytest.mark.parametrize(("machine", "clone", "socket"), [("x86_64", 56, 41), ("aarch64", 220, 198)])
def test_arguments_decide_where_they_must(machine, clone, socket):
    assert verdict(machine, clone, 0x3D0F00 | 17) == ALLOW  # a thread
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, clone, flag | 17) == EPERM
    assert verdict(machine, socket, 1) == ALLOW
    assert {verdict(machine, socket, family) for family in (0, 2, 10, 16, 17, 40)} == {EPERM}
    assert verdict(machine, 435) == ENOSYS


@pytest.mark.parametrize(("machine", "setpriority"), [("x86_64", 141), ("aarch64", 140)])
def test_a_process_sets_its_own_limits_and_no_others(machine, setpriority):
    numbers = OF_ITSELF_ONLY[machine].values()
    assert {verdict(machine, number, 0) for number in numbers} == {ALLOW}
    assert {verdict(machine, number, 1) for number in numbers} == {EPERM}
    assert verdict(machine, setpriority, 0, 0) == ALLOW
    assert {verdict(machine, setpriority, which, who) for which, who in ((0, 1), (1, 0), (2, 0), (2, 7))} == {EPERM}


def test_calls_of_other_tables_are_refused():
    assert verdict("x86_64", 0, architecture=0x40000003) == KILL
    assert verdict("x86_64", 0x40000000) == ENOSYS
    assert verdict("x86_64", 9999) == ENOSYS


def test_files_without_a_name_are_denied_where_nothing_counts_them():
    assert verdict("x86_64", 319) == ALLOW
    assert verdict("x86_64", 319, allows_memfd=False) == EPERM
    assert verdict("aarch64", 279, allows_memfd=False) == EPERM


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_table_agrees_with_the_headers(machine):
    if not HEADERS[machine].is_file():
        pytest.skip(f"{HEADERS[machine]} is not installed")
    text = HEADERS[machine].read_text()
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR3?2?6?4?_?_?(\w+)\s+(\d+)\b", text)}
    known = {name: number for name, number in (DENIED[machine] | OF_ITSELF_ONLY[machine]).items() if name in numbers}
    assert len(known) > 60
    assert known == {name: numbers[name] for name in known}


def test_an_architecture_without_a_table_is_an_error():
    with pytest.raises(KeyError):
        seccomp_filter("riscv64")
