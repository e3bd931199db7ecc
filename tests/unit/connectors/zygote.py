"""Starts connectors fast: one process imports the heavy libraries once and forks for each run.

It reads requests from the socket whose descriptor is its argument: `{"folder", "command", "environment"}` as JSON,
with three descriptors to be stdin, stdout and stderr. The answer is the exit code.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sys
import traceback
from pathlib import Path

REQUEST_BYTES = 65536


def serve(connection: socket.socket) -> None:
    while True:
        request, fds, _flags, _address = socket.recv_fds(connection, REQUEST_BYTES, 3)
        if not request:
            return
        child = os.fork()
        if child == 0:
            connection.close()
            start(json.loads(request), fds)
        for fd in fds:
            os.close(fd)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.sendall(f"{code}\n".encode())


def start(request: dict[str, object], fds: list[int]) -> None:
    code = 1
    try:
        for target, fd in enumerate(fds):
            os.dup2(fd, target)
            os.close(fd)
        os.chdir(str(request["folder"]))
        os.environ.update(request["environment"])
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        execute(list(request["command"]))
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def execute(command: list[str]) -> None:
    """Do what Python does with the same arguments."""
    sys.path.insert(0, str(Path.cwd()))
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    import flowmate_connector.runner  # noqa: F401
    import requests  # noqa: F401

    serve(socket.socket(fileno=int(sys.argv[1])))
