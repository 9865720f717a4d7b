"""One training on several processes, of one machine or of many: who they are, what they agree on, how they end.

Every process runs the same training, on its own devices, with its own share of each batch. Process 0 alone reads and
writes the run's folder; the others get from it what they go on from. Whatever depends on a clock, a signal or a disk
is decided by process 0, or by all together, between two looks of the host loop. A process that fails ends at once: the
others notice, say so in one line, and end too. Nothing is lost by that but the steps since the last checkpoint.
"""

import atexit
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from irrl import native_log
from irrl.checkpoint import Checkpoint, decode, encode
from irrl.errors import UserError, complaint, shortened
from irrl.run import Run

SECONDS_TO_MEET = 60
"""How long processes wait for one another at the start."""

SECONDS_OF_SILENCE = 20
"""After which a process counts as dead. One that is killed is missed at once, for its connections are closed."""

FOUND = {"Slurm": ("SLURM_NTASKS", "SLURM_PROCID"), "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")}
"""Variables by which launchers tell a process how many there are, and which it is."""

_WITH_COORDINATOR = ("SLURM_STEP_NODELIST", "OMPI_MCA_orte_hnp_uri")
"""Variables from which JAX knows where process 0 is."""

_CUT_OFF = re.compile(r"[Gg]loo|NCCL|[Cc]oordination|UNAVAILABLE|DEADLINE_EXCEEDED")
"""What errors of collective operations say when another process is gone."""

_HELLO = struct.Struct("!HH")
"""What processes say to each other as they meet: which they are, and how many they take part in."""

_STARTED: list["Launch"] = []
"""Not empty once this process is one of several."""


class Launch(NamedTuple):
    """Which process this is."""

    coordinator: str | None
    """`host:port` of process 0; None: JAX asks the launcher"""
    processes: int
    process: int


def launch_of(
    coordinator: str | None, processes: int | None, process: int | None, environ: Mapping[str, str] = os.environ
) -> Launch:
    """Which process this is: as told, or as Slurm or Open MPI say.

    Raises:
        UserError: that is not known, or cannot be.
    """
    if coordinator is not None and not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):[0-9]{1,5}", coordinator):
        raise UserError(f"`coordinator={coordinator}`: expected HOST:PORT, of process 0")
    if (processes is None) != (process is None):
        raise UserError("`processes` and `process` go together: how many there are, and which of them this is")
    if processes is None or process is None:
        found = next((names for names in FOUND.values() if all(name in environ for name in names)), None)
        if found is None:
            raise UserError(
                f"nothing to distribute over: neither {' nor '.join(FOUND)} started this process; "
                "give `coordinator`, `processes` and `process`"
            )
        try:
            processes, process = (int(environ[name]) for name in found)
        except ValueError:
            raise UserError(f"{' and '.join(found)} are no numbers") from None
        if coordinator is None and not any(name in environ for name in _WITH_COORDINATOR):
            raise UserError("this launcher does not say where process 0 is: give `coordinator`, as HOST:PORT")
    elif coordinator is None:
        raise UserError("`processes` needs `coordinator`: HOST:PORT of process 0")
    if not 0 < processes < 2**16:
        raise UserError(f"`processes` is {processes}; it must be from 1 to {2**16 - 1}")
    if not 0 <= process < processes:
        raise UserError(f"`process` is {process}; of {processes} processes it must be from 0 to {processes - 1}")
    return Launch(coordinator, processes, process)


def start(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, *, advice: str = ""
) -> None:
    """Make this process one of several that train together. It waits for the others, up to a minute.

    Call it before JAX computes anything, and after `irrl.devices.use_cores`. What is trained afterwards, by
    `irrl.train` or a task's own `train`, is trained by all: each process has to make the same calls. Without arguments
    Slurm or Open MPI say which process this is.

    Args:
        coordinator: `host:port` of process 0, the same for all; the port is a free one.
        processes: how many there are.
        process: which this is, from 0.
        advice: what the user is told when another process is gone.

    Raises:
        UserError: it is not known which process this is, or JAX is in use already; or the processes have unlike
            numbers of devices.
    """
    import jax

    launch = launch_of(coordinator, processes, process)
    where = f" at {launch.coordinator}" if launch.coordinator else ""
    _relay_native_log(
        f"irrl: another process of this training is gone; the last checkpoint stands{advice}",
        f"irrl: {launch.processes} processes did not come together{where} within {SECONDS_TO_MEET} seconds",
    )
    patience = SECONDS_TO_MEET
    if launch.coordinator is not None:
        _meet(launch.coordinator, launch.processes, launch.process)
        patience = SECONDS_OF_SILENCE  # they are all there
    with suppress(AttributeError):  # JAX would take SIGTERM, with which irrl saves and stops
        jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            launch.coordinator,
            launch.processes,
            launch.process,
            cluster_detection_method=None if processes is None else "deactivate",
            initialization_timeout=patience - 5,  # JAX adds these
            heartbeat_timeout_seconds=SECONDS_OF_SILENCE,
            shutdown_timeout_seconds=SECONDS_TO_MEET,
        )
    except (ValueError, RuntimeError) as error:
        raise UserError(f"these processes cannot train together: {shortened(str(error), 300)}") from error
    _STARTED.append(launch)
    with together():
        counts = np.bincount([device.process_index for device in jax.devices()], minlength=launch.processes)
        if len(set(counts.tolist())) > 1:
            raise UserError(
                f"the processes have {', '.join(map(str, counts))} devices; each must have as many: see `threads`"
            )


def _meet(coordinator: str, processes: int, process: int) -> None:
    """Wait until all processes are there. JAX would do so, too, but where one is not, it aborts.

    Raises:
        UserError: which of them did not come.
    """
    host, port = coordinator.rsplit(":", 1)
    end = time.monotonic() + SECONDS_TO_MEET
    if process:
        while True:
            try:
                with socket.create_connection((host.strip("[]"), int(port)), timeout=1) as connection:
                    connection.sendall(_HELLO.pack(process, processes))
                    connection.settimeout(max(1, end - time.monotonic()))
                    answer = connection.recv(_HELLO.size)
                    if len(answer) == _HELLO.size:
                        _check_count(processes, 0, _HELLO.unpack(answer)[1])
                        return
            except (OSError, OverflowError) as error:
                problem = error
            else:
                problem = "process 0 went away"
            if time.monotonic() > end:
                raise UserError(
                    f"`coordinator={coordinator}`: process 0 did not answer within {SECONDS_TO_MEET} seconds: {problem}"
                )
            time.sleep(0.2)
    dual = socket.has_dualstack_ipv6()
    with ExitStack() as held:
        try:
            family = socket.AF_INET6 if dual else socket.AF_INET
            server = socket.create_server(("", int(port)), family=family, dualstack_ipv6=dual, backlog=processes)
        except (OSError, OverflowError) as error:
            raise UserError(f"`coordinator={coordinator}`: process 0 cannot listen there: {error}") from error
        held.enter_context(server)
        waiting: dict[int, socket.socket] = {}
        while len(waiting) < processes - 1:
            server.settimeout(max(0.01, end - time.monotonic()))
            try:
                connection = held.enter_context(server.accept()[0])
                connection.settimeout(1)
                other, count = _HELLO.unpack(connection.recv(_HELLO.size))
            except (OSError, struct.error):
                if time.monotonic() > end:
                    missing = ", ".join(str(each) for each in range(1, processes) if each not in waiting)
                    raise UserError(
                        f"of {processes} processes these did not come to {coordinator} within {SECONDS_TO_MEET} "
                        f"seconds: {missing}"
                    ) from None
                continue
            with suppress(OSError):
                connection.sendall(b"" if count == processes else _HELLO.pack(0, processes))
            _check_count(processes, other, count)
            waiting[other] = connection
        for connection in waiting.values():
            with suppress(OSError):
                connection.sendall(_HELLO.pack(0, processes))


def _check_count(mine: int, other: int, others: int) -> None:
    if mine != others:
        raise UserError(f"this process was started with `processes={mine}`, process {other} with `processes={others}`")


def is_first() -> bool:
    """Whether this process is the one that writes: process 0, or one that trains alone."""
    return not _STARTED or _STARTED[0].process == 0


@contextmanager
def together() -> Iterator[None]:
    """Meanwhile, an error of this process ends it without waiting for the others, which would wait for it."""
    try:
        yield
    except BaseException as error:
        if _STARTED:
            if isinstance(error, ValueError | RuntimeError) and not isinstance(error, UserError):
                _end_if_cut_off(str(error))
            os.write(2, f"{native_log.LEAVES}\n".encode())
            atexit.register(_leave_in_a_second, _status_of(error))
        raise


def _end_if_cut_off(message: str) -> None:
    if _CUT_OFF.search(message):
        os.write(2, f"{native_log.GONE}\n".encode())
        _leave(1)


def _status_of(error: BaseException) -> int:
    """As the command line has it."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    is_users = isinstance(error, UserError | OSError | MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
    return 2 if is_users else 1


def _leave_in_a_second(status: int) -> None:
    """What is wrong in all processes, each has then said itself, before it misses this one."""
    time.sleep(1)
    _leave(status)


def _leave(status: int) -> None:
    """End without JAX's own farewell, which waits for all processes."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    _end_relay(silently=True)
    os._exit(status)


_RELAY: list[tuple[subprocess.Popen[bytes], int, int]] = []
"""The process that compiled code's output goes through, and where standard output and error went before."""


def _relay_native_log(gone: str, nobody: str) -> None:
    """From now on, what compiled code writes to the terminal goes through `irrl.native_log`; Python's does not."""
    if _RELAY:
        raise UserError("this process is already one of several")
    read, write = os.pipe()
    out, before = os.dup(1), os.dup(2)
    words = [sys.executable, "-I", "-S", native_log.__file__, complaint(gone), complaint(nobody)]
    # Not to be ended with this process by Ctrl-C: it has the last word.
    relay = subprocess.Popen(words, stdin=read, stderr=before, stdout=subprocess.DEVNULL, start_new_session=True)
    os.close(read)
    for name, number, terminal in (("stdout", 1, out), ("stderr", 2, before)):
        stream = getattr(sys, name)
        stream.flush()
        if stream is getattr(sys, f"__{name}__"):  # else it is not the terminal: a notebook's, or a test's
            own = open(terminal, "w", buffering=1, encoding=stream.encoding, errors=stream.errors, closefd=False)  # noqa: SIM115
            setattr(sys, name, own)
        os.dup2(write, number)
    os.close(write)
    _RELAY.append((relay, out, before))
    atexit.register(_end_relay)


def _end_relay(*, silently: bool = False) -> None:
    """Let compiled code write to the terminal again, or nowhere: while this process leaves, JAX may still dump."""
    while _RELAY:
        relay, *before = _RELAY.pop()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number, terminal in enumerate(before, start=1):
            os.dup2(nowhere if silently else terminal, number)
        os.close(nowhere)
        with suppress(subprocess.TimeoutExpired):  # a child process may hold the pipe open
            relay.wait(2)


def _gathered(mine: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "processes ..."]:
    """Every process's array, all of one shape."""
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(mine)).reshape(-1, *mine.shape)


def decided(decide: Callable[[], bool]) -> bool:
    """What process 0 decides; the others do not ask."""
    if not _STARTED:
        return decide()
    return bool(_gathered(np.array([is_first() and decide()], np.int32))[0, 0])


def check_same(settings: Mapping[str, Any]) -> None:
    """Refuse to train with processes that were started with other settings.

    Args:
        settings: JSON values by name.

    Raises:
        UserError: in every process; it names what differs.
    """
    if not _STARTED:
        return
    first, *rest = map(json.loads, _texts(json.dumps(settings).encode()))
    for process, others in enumerate(rest, start=1):
        names = [name for name in {**first, **others} if first.get(name) != others.get(name)]
        if names:
            changes = (f"`{name}`: {first.get(name)} and {others.get(name)}" for name in names)
            raise UserError(f"processes 0 and {process} were started with other settings: {', '.join(changes)}")


def _texts(mine: bytes) -> list[bytes]:
    """Every process's bytes."""
    lengths = _gathered(np.array([len(mine)], np.int32))[:, 0]
    padded = np.zeros(max(lengths.max(), 1), np.uint8)
    padded[: len(mine)] = np.frombuffer(mine, np.uint8)
    return [row[:length].tobytes() for row, length in zip(_gathered(padded), lengths, strict=True)]


def shared(run: Run) -> Run:
    """`run`, as one of several processes that train together sees it; as it is, where there are no others.

    Args:
        run: process 0's. In the others it is put aside: nothing is read or written there.
    """
    if not _STARTED:
        return run
    from irrl.run import MemoryRun

    return SharedRun(run if is_first() else MemoryRun())


class SharedRun(Run):
    """A run of several processes: all go on from what the first one restores, and stop when any is asked to."""

    def __init__(self, own: Run):
        """`own`: the run that this process reads and writes; in all but the first one that does neither."""
        super().__init__()
        self._own = own
        self.history, self.stops_with = own.history, own
        if is_first():
            self.listeners = own.listeners

    def restore(self) -> Checkpoint | None:
        """What process 0 has to go on from, sent to the others: they need not see its disk."""
        from jax.experimental import multihost_utils

        self._own.threads = self.threads
        saved = self._own.restore()
        content = np.frombuffer(b"" if saved is None else encode(*saved), np.uint8)
        size = int(_gathered(np.array([len(content)], np.int32))[0, 0])
        if not size:
            return None
        sent = multihost_utils.broadcast_one_to_all(content if is_first() else np.zeros(size, np.uint8))
        return saved if is_first() else decode(np.asarray(sent).tobytes())

    def save(self, arrays: Mapping[str, np.ndarray], state: dict[str, Any], *, best: bool, keep: bool) -> None:
        """Checkpoint, in process 0."""
        self._own.save(arrays, state, best=best, keep=keep)

    def log(self, row: dict[str, Any]) -> None:
        """Record a row, in process 0."""
        self._own.log(row)

    def progress(self, step: int, steps: int) -> None:
        """Tell process 0's listeners."""
        self._own.progress(step, steps)

    def close(self) -> None:
        """Close process 0's run."""
        self._own.close()

    def next_look(self, steps: int) -> int:
        """As many steps as process 0 means to take; 0 in all processes if any is asked to stop."""
        asked = np.array([min(steps, 2**31 - 1), self.stop_requested], np.int32)
        looks = _gathered(asked)
        self.stop_requested = bool(looks[:, 1].any())
        return 0 if self.stop_requested else int(looks[0, 0])
