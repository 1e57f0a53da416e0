"""The network is really gone where the message says so; elsewhere the command runs and the message is honest."""

import os
import subprocess
import sys

from utils.course import offline

import pytest

PROBE = """
import os, socket
try:
    socket.create_connection(("1.1.1.1", 53), timeout=5)
    outside = "reached"
except OSError as error:
    outside = error.strerror
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
    print(os.readlink("/proc/self/ns/net"), [name for _, name in socket.if_nameindex()], outside, sep="|")
"""


def run(*command):
    offline = [sys.executable, "-m", "utils.course.offline", *command]
    return subprocess.run(offline, capture_output=True, text=True, timeout=60)


def test_network_is_unreachable_when_it_says_so():
    done = run(sys.executable, "-c", PROBE)
    if "NOT cut off" in done.stderr:
        pytest.skip(f"this machine cannot cut the network off: {done.stderr.strip()}")
    assert done.returncode == 0 and done.stderr == "network: cut off\n"
    namespace, interfaces, outside = done.stdout.strip().split("|")
    assert namespace != os.readlink("/proc/self/ns/net")
    assert interfaces == "['lo']" and outside == "Network is unreachable"


def test_it_says_so_when_the_network_stays(monkeypatch, capsys):
    def refuse():
        raise PermissionError(1, "Operation not permitted")

    started = []
    monkeypatch.setattr(offline, "try_out", refuse)
    monkeypatch.setattr(offline, "cut_off", lambda: started.append("cut off"))
    monkeypatch.setattr(os, "execvp", lambda file, arguments: started.append(arguments))
    offline.main(["echo", "ran"])
    assert started == [["echo", "ran"]]
    assert "network: NOT cut off" in capsys.readouterr().err


def test_exit_status_is_passed_on():
    assert run("sh", "-c", "exit 3").returncode == 3
    assert "cannot run 'no-such-program'" in run("no-such-program").stderr
    assert "Usage" in run().stderr
