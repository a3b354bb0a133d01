from __future__ import annotations

import platform

import pytest

from models.cpu_instructions import int8_instructions, parse_int8_instructions

X86 = """\
processor	: {number}
vendor_id	: AuthenticAMD
model name	: Some CPU with avx512_vnni in its name
flags		: fpu sse2 {flags}
bugs		: spectre_v1 avx_vnni
power management:

"""
ARM = """\
processor	: {number}
BogoMIPS	: 50.00
Features	: fp asimd crc32 {flags}
CPU implementer	: 0x41

"""


def machine(template: str, *processors: str) -> str:
    return "".join(template.format(number=number, flags=flags) for number, flags in enumerate(processors))


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (machine(X86, "avx2 avx512f avx512_vnni", "avx2 avx512f avx512_vnni"), "VNNI"),
        (machine(X86, "avx2 avx_vnni"), "VNNI"),
        (machine(X86, "avx2 avx_vnni", "avx2"), "AVX2"),
        (machine(X86, "avx2 avx512f avx512bw"), "AVX2"),
        (machine(X86, "avx2 avx512_vnni_of_another_name"), "AVX2"),
        (machine(X86, "avx"), "none"),
        (machine(X86, ""), "none"),
        (machine(ARM, "asimddp"), "dot products"),
        (machine(ARM, "asimddp i8mm"), "I8MM"),
        (machine(ARM, ""), "none"),
        (machine(ARM, "asimddp i8mm", "asimddp"), "dot products"),
        (machine(ARM, "asimddp", ""), "none"),
        ("processor : 0\ncpu : POWER9\n", "unknown instructions"),
        ("", "unknown instructions"),
    ],
)
def test_they_are_those_that_every_processor_lists(cpuinfo: str, expected: str) -> None:
    assert parse_int8_instructions(cpuinfo) == expected


def test_this_machine_has_some_that_are_known() -> None:
    assert (int8_instructions() == "unknown instructions") == (platform.system() != "Linux")
