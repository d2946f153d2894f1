"""Programs that tests start, split off a process that has torch and transformers loaded, to save ten seconds.

Otherwise a program is one of its own: it has its arguments, folder, environment and output, and nothing of camml is
imported in it before it starts. Where the imports are what is tested, use `subprocess`.
"""

import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess, Popen, TimeoutExpired
from typing import Any

LIBRARIES = (
    "PIL.Image", "safetensors.torch", "tokenizers", "torch._dynamo", "torch.distributed.tensor",
    "huggingface_hub.hf_api",
)  # fmt: skip
TRANSFORMERS = ("transformers.trainer", "transformers.generation.utils", "transformers.models.auto.processing_auto")


class Program:
    """A running program, with the methods of `subprocess.Popen` that tests need."""

    def __init__(self, pid: int, ends: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ends = ends

    def poll(self) -> int | None:
        """How it ended, None if it runs."""
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, once it has."""
        code = self._look(timeout)
        if code is None:
            raise TimeoutExpired(f"program {self.pid}", timeout or 0.0)
        return code

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._ends], [], [], timeout)[0]:
            self.returncode = read(self._ends)
            os.close(self._ends)
        return self.returncode


class ForkServer:
    """Starts programs in processes that have loaded `libraries`; each leads a session of its own."""

    def __init__(self, place: Path, libraries: Sequence[str]) -> None:
        self._place, self._count = place, 0
        self._server: Popen[bytes] | None = None
        # macOS does not let the child of such a process use its frameworks
        if sys.platform != "darwin":
            self._channel, theirs = socket.socketpair()
            with theirs:
                self._server = Popen(
                    [sys.executable, __file__, str(theirs.fileno()), *libraries], pass_fds=[theirs.fileno()]
                )

    def close(self) -> None:
        """End the process that programs come from."""
        if self._server:
            self._channel.close()
            self._server.wait(60)

    def start(
        self, *command: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> "Program | Popen[bytes]":
        """Start `python COMMAND`, where that is a script, `-m MODULE` or `-c CODE` with its arguments."""
        words, folder = [str(word) for word in command], str(cwd or Path.cwd())
        environment = dict(os.environ if env is None else env)
        self._count += 1
        with self.file("out").open("wb") as out, self.file("err").open("wb") as err:
            if self._server is None:
                return Popen([sys.executable, *words], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                             stdout=out, stderr=err, start_new_session=True)  # fmt: skip
            ends, write = os.pipe()
            job = json.dumps({"words": words, "folder": folder, "environment": environment}).encode()
            socket.send_fds(self._channel, [len(job).to_bytes(8, "big")], [out.fileno(), err.fileno(), write])
            self._channel.sendall(job)
            os.close(write)
            return Program(read(ends), ends)

    def file(self, stream: str) -> Path:
        """Where the program that was started last writes its "out" or "err"."""
        return self._place / f"{self._count}.{stream}"

    def run(self, *command: object, timeout: float = 500.0, **more: Any) -> CompletedProcess[str]:
        """Run `python COMMAND` to its end; output is text."""
        program = self.start(*command, **more)
        out, err = self.file("out"), self.file("err")
        try:
            code = program.wait(timeout)
        finally:
            if program.poll() is None:
                kill(program)
        return CompletedProcess(command, code, out.read_text(), err.read_text())


def kill(program: "Program | Popen[bytes]") -> None:
    """End a program and its children at once."""
    with suppress(ProcessLookupError):  # children that it left behind, too
        os.killpg(program.pid, signal.SIGKILL)
    if program.poll() is None:  # one that has just begun leads no group yet; the number of one that has ended is free
        with suppress(ProcessLookupError):
            os.kill(program.pid, signal.SIGKILL)
    program.wait(60)


def first_line(program: "Program | Popen[bytes]", out: Path, timeout: float = 300.0) -> str:
    """The first line that a program prints, once it is there; less if it ends before."""
    deadline = time.monotonic() + timeout
    while "\n" not in (said := out.read_text()) and program.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return said.partition("\n")[0]


def tell(fd: int, number: int) -> None:
    """Send a number through a pipe."""
    os.write(fd, number.to_bytes(8, "big", signed=True))


def read(fd: int) -> int:
    """A number from a pipe."""
    number = os.read(fd, 8)
    assert len(number) == 8, "the process that programs come from has ended"
    return int.from_bytes(number, "big", signed=True)


def serve(channel: socket.socket) -> list[str]:
    """Split off a process for each job; in that process return its command."""
    while True:
        size, fds, *_ = socket.recv_fds(channel, 8, 3)
        if not size:
            sys.exit(0)
        job = b""
        while len(job) < int.from_bytes(size, "big"):
            job += channel.recv(1 << 20)
        if not os.fork():  # a process that waits for the program, so that this one need not
            if not (pid := os.fork()):
                channel.close()
                return become(json.loads(job), fds)
            tell(fds[2], pid)
            tell(fds[2], os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            os._exit(0)
        for fd in fds:
            os.close(fd)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def become(job: Mapping[str, Any], fds: Sequence[int]) -> list[str]:
    """Take over what belongs to a program; return its command."""
    os.setsid()
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(fds[0], 1)
    os.dup2(fds[1], 2)
    for fd in fds:
        os.close(fd)
    words: list[str] = job["words"]
    first = str(Path(words[0]).parent) if words[0] not in ("-m", "-c") else os.getcwd() if words[0] == "-m" else ""
    more = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [first, *more, *sys.path]
    return words


def execute(words: Sequence[str]) -> None:
    """Do what Python does with a command."""
    if words[0] == "-m":
        sys.argv = list(words[1:])
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file
    for name in sys.argv[2:]:
        with suppress(ImportError):
            import_module(name)
    execute(serve(socket.socket(fileno=int(sys.argv[1]))))
