"""What JAX's compiled part dumps when another process is gone becomes one line; all else is seen."""

import subprocess
import sys

from irrl import native_log

POLLED = (
    "E1126 11:21:11.769393   13848 coordination_service_agent.cc:289] Polled an error from coordination service (this"
)
FATAL = (
    "F1126 11:21:42.140129   14446 client.h:80] Terminating process because the JAX distributed service detected fatal"
)
UNHEALTHY = (
    "E1126 11:21:28.592862   14078 coordination_service.cc:1549] [569] Use error polling to propagate the following"
)
TRACE = ["*** Check failure stack trace: ***", "    @     0x7f2b5ce40634  absl::lts_20260107::LogMessage::SendToLog()"]
OTHERS = "W1126 11:21:28.592862   14078 cpu_client.cc:15] something else"


def seen(*lines):
    return list(native_log.relayed(lines, "gone", "nobody"))


def test_a_dump_is_one_line():
    assert seen(POLLED, FATAL, *TRACE) == ["gone"]
    assert seen(UNHEALTHY, "1", "The tasks have crashed.", POLLED, FATAL, *TRACE) == ["gone"]
    assert seen(FATAL, *TRACE) == ["nobody"]
    assert seen(native_log.GONE, POLLED, FATAL, *TRACE) == ["gone"]


def test_who_has_said_why_it_ends_says_no_more():
    assert seen(OTHERS, native_log.LEAVES, POLLED, FATAL, *TRACE) == [OTHERS]


def test_other_lines_are_seen():
    gloo = "[Gloo] Rank 0 is connected to 1 peer ranks. Expected number of connected peer ranks is : 1"
    assert seen("of a child", gloo, "of a child", UNHEALTHY, "more of it", OTHERS, "more") == [
        "of a child", "of a child", OTHERS, "more",
    ]  # fmt: skip


def test_as_a_script_it_reads_to_the_end():
    words = [sys.executable, "-I", "-S", native_log.__file__, "gone", "nobody"]
    text = "\n".join([OTHERS, POLLED, FATAL, *TRACE * 10_000]).encode()
    done = subprocess.run(words, input=text, capture_output=True, check=True, timeout=60)
    assert done.stderr.decode() == f"{OTHERS}\ngone\n"
