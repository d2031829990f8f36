"""The spawner: a small single-threaded process from which every supervisor is forked.

The agent starts it first, before any thread. A fork of it costs a millisecond, where a fresh interpreter costs
many; and being single-threaded it may fork safely, which the agent may not. It speaks JSON lines over the socket
that is its stdin::

    {"start": "<attempt folder>"}  →  {"started": folder, "pid": n}   the attempt is held, supervisor.json is written
                                      {"failed": folder, "error": …}  nothing was started
                                      {"ended": folder}               later: that supervisor is no more

At the end of its input it exits. Supervisors do not need it and go on; signals meant for the agent's process group
do not reach it, since it has a session of its own.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
from typing import NoReturn

from bough.errors import BoughError
from bough_agent import supervisor

HELD = b"+"  # first byte on a supervisor's pipe: it holds the attempt; "-" and a sentence: it does not
REFUSED = b"-"
MAX_FD = 1 << 20


class _Child:
    """A forked supervisor, known by the pipe that closes when it ends."""

    def __init__(self, folder: str, pid: int) -> None:
        self.folder = folder
        self.pid = pid
        self.said = b""


class _Spawner:
    """Serves one agent over one socket."""

    def __init__(self, agent: socket.socket) -> None:
        self.agent = agent
        self.poll = select.poll()
        self.poll.register(agent.fileno(), select.POLLIN)
        self.children: dict[int, _Child] = {}  # by the reading end of the pipe
        self.pending = b""

    def serve(self) -> None:
        """Answer until the agent closes its end."""
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor != self.agent.fileno():
                    self._hear_child(descriptor)
                elif not self._hear_agent():
                    return

    def _hear_agent(self) -> bool:
        """Take what the agent sent; False at the end of it."""
        try:
            data = self.agent.recv(1 << 16)
        except ConnectionError:
            return False
        *lines, self.pending = (self.pending + data).split(b"\n")
        for line in lines:
            self._start(str(json.loads(line)["start"]))
        return bool(data)

    def _start(self, folder: str) -> None:
        receiver, sender = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(receiver)
            os.close(sender)
            self._tell({"failed": folder, "error": _no_process(error)})
            return
        if pid == 0:
            _supervise(folder, sender)
        os.close(sender)
        self.children[receiver] = _Child(folder, pid)
        self.poll.register(receiver, select.POLLIN)

    def _hear_child(self, receiver: int) -> None:
        """Take what a supervisor said, or the closing of its pipe for its end."""
        child = self.children[receiver]
        data = os.read(receiver, 1 << 16)
        if data:
            child.said += data
            if child.said == HELD:
                self._tell({"started": child.folder, "pid": child.pid})
            return
        self.poll.unregister(receiver)
        os.close(receiver)
        del self.children[receiver]
        os.waitpid(child.pid, 0)
        self._tell(_last_word(child))

    def _tell(self, message: dict[str, object]) -> None:
        """Send a message; an agent that is gone is noticed at the next read."""
        try:
            self.agent.sendall(json.dumps(message).encode() + b"\n")
        except ConnectionError:
            return


def _last_word(child: _Child) -> dict[str, object]:
    """Return what the agent is told about a supervisor that is no more."""
    if child.said.startswith(HELD):
        return {"ended": child.folder}
    if child.said.startswith(REFUSED):
        return {"failed": child.folder, "error": child.said[1:].decode(errors="replace")}
    return {"failed": child.folder, "error": f"the supervisor of {child.folder} died at its start. Try again."}


def _no_process(error: OSError) -> str:
    return f"no supervisor could be started ({error.strerror}). Free memory or raise the limit on processes."


def _supervise(folder: str, sender: int) -> NoReturn:
    """Be a supervisor: keep nothing of the spawner but the pipe, and never return into its loop."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.closerange(3, sender)
        os.closerange(sender + 1, MAX_FD)
        supervisor.run(folder, lambda: _say(sender, HELD))
    except BoughError as error:
        _say(sender, REFUSED + str(error).encode())
    except BaseException as error:
        _say(sender, REFUSED + f"the supervisor failed ({type(error).__name__}: {error}).".encode(errors="replace"))
    finally:
        os._exit(0)


def _say(sender: int, data: bytes) -> None:
    """Tell the spawner, if it still lives."""
    try:
        os.write(sender, data)
    except OSError:
        return


def main() -> None:
    """Serve the agent at the other end of stdin."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)  # the end of the input is what ends it
    gc.collect()
    gc.freeze()  # a collection in a forked child would copy every page it looks at
    with socket.socket(fileno=os.dup(0)) as agent:
        agent.setblocking(True)
        _Spawner(agent).serve()


if __name__ == "__main__":
    main()
