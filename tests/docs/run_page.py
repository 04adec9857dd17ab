"""Types one page into a sandbox: `python -m tests.docs.run_page STEPS.json`, in the sandbox.

A step is the words of a command or the text of a Python block. Commands run in this process, one
after the other, so that jax starts once a page. A server is a process of its own, which is asked
whether it is well, and ended.
"""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

PATIENCE = 60
"""Seconds for a server to answer."""


def main() -> None:
    """All steps, or those until one fails: its exit code is this process's."""
    import pmm_jax.runtime

    # As in tests/cli: this process has jax already, and its signals are its own.
    pmm_jax.runtime.tune_malloc = lambda: False
    pmm_jax.runtime.interrupt_on_signals = lambda: None
    names: dict[str, Any] = {}
    for number, step in enumerate(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))):
        print(f"--- {number}: {step}", flush=True)
        if isinstance(step, str):
            exec(compile(step, f"block {number}", "exec"), names)
        elif step[0] == "serve":
            serve(step)
        else:
            run(step)


def run(words: list[str]) -> None:
    """One command."""
    sys.argv = ["pmm", *words]
    try:
        runpy.run_module("pmm_jax", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            sys.exit(f"{' '.join(words)}: exit code {end.code}")


def serve(words: list[str]) -> None:
    """A server at a free port that answers, and ends when it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "pmm_jax", *words, "--port", port]
    with subprocess.Popen(command, env={**os.environ}) as server:
        try:
            await_health(server, f"http://127.0.0.1:{port}/healthz")
        finally:
            server.send_signal(signal.SIGTERM)
    if server.returncode not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
        sys.exit(f"{' '.join(words)}: exit code {server.returncode}")


def await_health(server: subprocess.Popen[bytes], url: str) -> None:
    """Wait until the server says that it is well."""
    for _ in range(PATIENCE * 4):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return print(answer.read().decode())
        except OSError:
            if server.poll() is not None:
                sys.exit(f"the server ended with {server.returncode}")
            time.sleep(0.25)
    sys.exit(f"no answer from {url}")


if __name__ == "__main__":
    main()
