"""A locked room for one job: bubblewrap builds it, a forked process walks in, one signal empties it.

bubblewrap starts `cat` in fresh namespaces: no network, no other processes, a read-only view of Python and of `utils`,
a small folder in memory to write to. The warm process (worker.py) forks, and its child joins these namespaces. When
bubblewrap is killed, the kernel ends every process inside, whatever it did to hide.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

import psutil

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = ("ipc", "uts", "net", "pid", "mnt", "user")
NS_GET_USERNS = 0xB701  # linux/nsfs.h
SET_NO_NEW_PRIVS, CAPBSET_DROP, SET_CHILD_SUBREAPER, SET_PDEATHSIG = 38, 24, 36, 1  # linux/prctl.h
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime")
MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What one job may use."""

    cell: float = 60.0  # seconds for one solution cell or one test cell
    job: float = 600.0  # seconds for all cells of a notebook
    memory: int = 3072 * MIB  # bytes that a job may take beyond what the warm process holds
    processes: int = 32
    output: int = MIB  # bytes of one message, and of what a cell prints
    disk: int = 128 * MIB  # bytes in /tmp, and of one file


@dataclass(frozen=True)
class Entrance:
    """How a forked process gets into a room: by the process whose namespaces it joins, or by a folder to work in."""

    namespaces: int | None = None
    scratch: str | None = None


class NoSandbox(Exception):
    """bubblewrap is not installed, or this machine does not allow what it needs."""


class Room(Protocol):
    """A place for one job, to be used in a `with` block, at whose end nothing of the job is left."""

    entrance: Entrance

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def processes(self, supervisor: int) -> list[Path]:
        """Return the students' processes in this room, by their folders in /proc."""
        ...

    def alive(self) -> bool:
        """Tell whether the room itself stands; no process inside can end it."""
        ...


def python_folders() -> list[str]:
    """Return the folders that Python and its packages are read from; nothing of the course itself."""
    places = [place for place in sys.path if os.path.isabs(place) and not Path(place).is_relative_to(ROOT)]
    places += [sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)]
    found = {place for place in places if os.path.isdir(place) and not ROOT.is_relative_to(place)}
    inside = {place for place in found if any(place != other and place.startswith(other + "/") for other in found)}
    return sorted(found - inside)


def command(folder: Path, limits: Limits) -> list[str]:
    """Return bubblewrap's command line for a notebook of the course's `folder`, such as lectures/."""
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    for path in filter(os.path.exists, SYSTEM):
        link = os.path.islink(path)
        words += ["--symlink", os.readlink(path), path] if link else ["--ro-bind", path, path]
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--size", str(limits.disk), "--tmpfs", "/tmp", "--size", str(limits.disk), "--tmpfs", "/dev/shm"]
    for place in map(str, [*python_folders(), ROOT / "utils"]):
        words += ["--ro-bind", place, place]
    words += ["--size", str(limits.disk), "--tmpfs", str(folder)]  # a notebook may write beside itself
    for place in map(str, resources(folder)):
        words += ["--ro-bind", place, place]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "cat"]


def resources(folder: Path) -> list[Path]:
    """Return what lies beside the notebooks of `folder`, the notebooks themselves excepted."""
    return sorted(p for p in folder.iterdir() if p.suffix != ".ipynb" and not p.name.startswith((".", "__")))


class Sandbox:
    """A Room behind walls.

    Raises
    ------
    NoSandbox
        bubblewrap cannot make it.
    """

    def __init__(self, folder: Path, limits: Limits):
        read, write = os.pipe()
        errors = tempfile.TemporaryFile()
        program, *words = command(folder, limits)
        try:
            self.process = subprocess.Popen(
                [program, "--info-fd", str(write), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=[write],
                start_new_session=True,
            )
        except FileNotFoundError:
            os.close(read)
            raise NoSandbox("bubblewrap is not installed: sudo apt-get install bubblewrap") from None
        finally:
            os.close(write)
        with os.fdopen(read, "rb") as info, contextlib.suppress(BrokenPipeError):
            if echo(self.process.stdin, self.process.stdout):
                self.pid = int(json.loads(info.read1(65536))["child-pid"])
                self.entrance = Entrance(namespaces=self.pid)
                return
        self.close()
        errors.seek(0)
        raise NoSandbox(f"bubblewrap does not work here: {errors.read().decode(errors='replace').strip()}")

    def processes(self, supervisor: int) -> list[Path]:
        """Return the students' processes in this room: all but bubblewrap's own two."""
        try:
            inside = sorted(int(name) for name in os.listdir(f"/proc/{self.pid}/root/proc") if name.isdigit())
        except OSError:
            return []
        return [Path(f"/proc/{self.pid}/root/proc/{pid}") for pid in inside[2:]]

    def alive(self) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.2)  # when bubblewrap is killed, what is inside ends a moment before
        return self.process.returncode is None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def echo(stdin: IO[bytes] | None, stdout: IO[bytes] | None) -> bool:
    """Return whether `cat` answers, as it does once everything is mounted."""
    assert stdin and stdout, "both are pipes"
    stdin.write(b"ready\n")
    stdin.flush()
    return stdout.readline() == b"ready\n"


class OpenRoom:
    """A Room without walls, for --no-sandbox: a process and a folder of its own, and nothing else."""

    def __init__(self, folder: Path, limits: Limits):
        self.supervisor: int | None = None
        self.scratch = tempfile.mkdtemp(prefix="grading-")
        self.entrance = Entrance(scratch=self.scratch)
        for path in resources(folder):
            os.symlink(path, os.path.join(self.scratch, path.name))

    def processes(self, supervisor: int) -> list[Path]:
        self.supervisor = supervisor
        with contextlib.suppress(psutil.Error):
            return [Path(f"/proc/{p.pid}") for p in psutil.Process(supervisor).children(recursive=True)]
        return []

    def alive(self) -> bool:
        return True

    def close(self) -> None:
        for _ in range(20):  # a process may fork while we look
            found = self.processes(self.supervisor) if self.supervisor else []
            for path in found:
                with contextlib.suppress(OSError):
                    os.kill(int(path.name), 9)
            if not found:
                break
        shutil.rmtree(self.scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def resident(process: Path) -> int:
    """Return the bytes of memory of a process given by its folder in /proc, 0 if it is gone."""
    try:
        return int((process / "statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError):
        return 0


# What follows runs in the forked child, on its way into the room.


def libc(call: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, call)(*arguments) == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"{call}: {os.strerror(error)}")


def join(pid: int) -> None:
    """Move this process into the namespaces of the process `pid`; its children will be in the PID namespace.

    For a user who is not root bubblewrap makes two user namespaces, one in the other. The outer one owns all the other
    namespaces, so it has to be entered first and the inner one last.
    """
    room = {name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in NAMESPACES}
    mine = [os.stat(f"/proc/self/ns/{name}").st_ino for name in NAMESPACES]
    owner = fcntl.ioctl(room["mnt"], NS_GET_USERNS)
    for namespace in (owner, *room.values()):
        inode = os.fstat(namespace).st_ino
        if inode not in mine:  # to enter the user namespace that one is in already is an error
            libc("setns", namespace, 0)
            mine.append(inode)
    for namespace in (owner, *room.values()):
        os.close(namespace)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent ends, so that none is lost from sight."""
    libc("prctl", SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent(parent: int) -> None:
    """Have this process killed when its parent, the process `parent`, ends, however that comes about."""
    libc("prctl", SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() not in (parent, 0):  # 0: the parent is in another namespace
        os._exit(1)


def drop_privileges() -> None:
    """Give up every capability for good."""
    libc("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        with contextlib.suppress(OSError):  # not in a user namespace of its own, or no such capability
            libc("prctl", CAPBSET_DROP, capability, 0, 0, 0)
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    with contextlib.suppress(OSError):
        libc("capset", header, nothing)


def limit_resources(limits: Limits) -> None:
    """Set this process's limits; what the warm process holds already does not count against `memory`."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for name, value in {
        "RLIMIT_AS": held + limits.memory,
        "RLIMIT_FSIZE": limits.disk,
        "RLIMIT_CPU": int(4 * limits.job) + 1,
        "RLIMIT_NOFILE": 256,
        "RLIMIT_CORE": 0,
    }.items():
        hard = resource.getrlimit(getattr(resource, name))[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)  # the machine's own limit may be lower
        resource.setrlimit(getattr(resource, name), (value, value))
