"""Runs the real binary and what it works with, for tests of pytest."""
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("CROSSMARKET_BINARY", ROOT / "target" / "debug" / "crossmarket"))
PATIENCE_S = 60


def wait_for(what, look):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}")


def page(address):
    """The metrics of a process."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return answer.read().decode()


def ended_in(process):
    """Asks a process to end; returns how long that takes, in seconds."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE_S) == 0
    return time.monotonic() - begun


class Running:
    """Processes that end with the test."""

    def __init__(self, directory):
        self.directory, self.processes = directory, []

    def start(self, command, **options):
        process = subprocess.Popen([str(part) for part in command], cwd=self.directory, text=True, **options)
        self.processes.append(process)
        return process

    def service(self, *arguments, environment=None, log="warn"):
        """Starts the binary on free ports and waits until it listens; returns its process, where it answers gRPC (if it does), the admin port's
        address, and its log file."""
        listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log", log]
        file = self.directory / f"{len(self.processes)}.log"
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CROSSMARKET__"))}
        process = self.start([BINARY, *arguments, *listen], stdout=subprocess.PIPE, stderr=file.open("w"), env={**variables, **(environment or {})})
        for line in process.stdout:
            if line.startswith("listening"):
                found = dict(re.findall(r"(\w+)=(\S+)", line))
                return process, found.get("grpc"), found["admin"], file
        raise AssertionError(file.read_text())

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            process.wait(timeout=PATIENCE_S)
