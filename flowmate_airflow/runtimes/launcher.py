"""Run a Python connector's module, or an installed command, as the main program.

Started by the `process` runtime in the connector's own virtual environment: it may import nothing but the
standard library.

Arguments: the parent's process id, the memory limit in bytes, the module or the command's path, its arguments.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Let the system kill this process when the worker goes away, however it goes. Linux only."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it went away before the line above
        os._exit(1)


def limit_memory(limit: int) -> None:
    """Make allocations over the limit fail. Files, code and reserved address space do not count."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        return  # not every system has these limits, and this runtime promises none


def main() -> None:
    """Prepare the process and hand over to the module or command."""
    parent, memory, module, *arguments = sys.argv[1:]
    # The interpreter put this file's folder first, where module names of the connector could be mistaken for
    # ours.
    sys.path.pop(0)
    die_with_parent(int(parent))
    limit_memory(int(memory))
    sys.argv = [module, *arguments]
    if os.sep in module:
        runpy.run_path(module, run_name="__main__")
        return
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
