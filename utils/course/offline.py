"""Run a command with the network cut off, where the machine allows it.

    python -m utils.course.offline pytest

On Linux the command gets a network namespace of its own, in which only 127.0.0.1 exists (Jupyter talks to its kernels
there). Where that is not allowed, the command runs all the same, and one line says that the network was not cut off.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1  # linux/sockios.h, linux/if.h


def unshare(flags: int) -> None:
    """Move this process to new namespaces; OSError where the kernel refuses."""
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def cut_off() -> None:
    """Leave the network for good: only the loopback interface remains. OSError where that is not allowed."""
    user, group = os.getuid(), os.getgid()
    try:
        unshare(CLONE_NEWNET)
    except PermissionError:  # not an administrator: become one in a user namespace, under the same names
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{user} {user} 1")
        write("/proc/self/gid_map", f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def try_out() -> None:
    """Cut a short-lived copy of this process off first: a failure half-way must not leave the command in pieces."""
    child = os.fork()
    if child == 0:
        try:
            cut_off()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise OSError(code, os.strerror(code))


def main(command: list[str] | None = None) -> None:
    command = sys.argv[1:] if command is None else command
    if not command:
        sys.exit("Usage: python -m utils.course.offline COMMAND [ARGUMENT ...]")
    try:
        if sys.platform != "linux":
            raise OSError("not Linux")
        try_out()
        cut_off()
        print("network: cut off", file=sys.stderr, flush=True)
    except OSError as error:
        print(f"network: NOT cut off, this machine does not allow it ({error})", file=sys.stderr, flush=True)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"cannot run {command[0]!r}: {error.strerror}")


if __name__ == "__main__":
    main()
