"""Runs functions in processes of their own and kills them; as it forks, what they need is imported once.

Reads lines of JSON: a file of functions (of which ``ready`` is called at once, for what all forks share), the name of
one, its arguments, and, if it is to be killed, a folder, how many changes to the states there it lives to see, and for
how many seconds it lives on after the last of them. Answers each with the exit status, -9 if it was killed.
"""

import contextlib
import json
import os
import runpy
import signal
import sys
import time
import traceback
from pathlib import Path


def contents(folder: str) -> set:
    found = set()
    for path in Path(folder).glob("step-*.pt"):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            found.add((path.name, path.stat().st_mtime_ns))
    return found


def run(function, arguments: list) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.dup2(2, 1)  # the answers alone go to the standard output
        function(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def wait_and_kill(child: int, folder: str, changes: int, seconds: float) -> int:
    before, end = contents(folder), None
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        now = contents(folder)
        if now != before:
            before, changes = now, changes - 1
        if end is None and changes == 0:
            end = time.monotonic() + seconds
        if end is not None and time.monotonic() >= end:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        time.sleep(0.002)


def serve() -> None:
    files: dict = {}
    for line in sys.stdin:
        order = json.loads(line)
        if order["file"] not in files:
            files[order["file"]] = runpy.run_path(order["file"])
            files[order["file"]]["ready"]()  # here, so that no fork has to
        child = run(files[order["file"]][order["function"]], order["arguments"])
        kill = order["kill"]
        status = os.waitpid(child, 0)[1] if kill is None else wait_and_kill(child, *kill)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
