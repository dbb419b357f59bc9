"""The worker process, which steps some of a pool's environments: `python -m entrax.environments.worker SOCKET MEMORY`.

Both arguments are inherited file descriptors. The process imports no JAX, ignores SIGINT, which the process of the pool
handles, and ends when its socket closes.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from entrax.environments.faults import EnvironmentFault
from entrax.environments.messages import DONE, STEP, Shared, receive, send_json, send_picture, shared_arrays
from entrax.environments.slot import Slot
from entrax.environments.source import EnvSource
from entrax.errors import EntraxError, UsageError


def main() -> None:
    """Serve until the socket closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=int(sys.argv[1]))
    slots: dict[int, Slot] = {}
    try:
        _, setup = receive(connection)
        sys.path[:] = setup["path"]
        with _errors_sent(connection):
            source = EnvSource.from_process(setup["source"])
        for index in setup["indices"]:
            slots[index] = _make_slot(connection, source, index, setup["render_mode"])
        _, sizes = receive(connection)
        shared = shared_arrays(int(sys.argv[2]), **sizes)
        while True:
            kind, request = receive(connection)
            try:
                if kind == STEP:
                    _step(slots, shared)
                    connection.sendall(DONE)
                elif request["do"] == "render":
                    send_picture(connection, slots[request["index"]].render())
                else:
                    send_json(connection, _answer(slots, shared, request))
            except EnvironmentFault as fault:
                send_json(connection, {"fault": [fault.index, fault.seed, fault.step, fault.cause]})
            except EntraxError as error:
                send_json(connection, _error(error))
            except RuntimeError as error:
                send_json(connection, {"misuse": str(error)})
    except (EOFError, ConnectionError):
        for slot in slots.values():
            slot.close()
        os._exit(0)  # an environment's threads must not keep the process alive


@contextmanager
def _errors_sent(connection: socket.socket) -> Iterator[None]:
    """Send an EntraxError to the pool and raise EOFError, to end the process."""
    try:
        yield
    except EntraxError as error:
        send_json(connection, _error(error))
        raise EOFError from error


def _error(error: EntraxError) -> dict[str, Any]:
    return {"error": str(error), "usage": isinstance(error, UsageError)}


def _make_slot(connection: socket.socket, source: EnvSource, index: int, render_mode: str | None) -> Slot:
    """Make an environment and send its description to the pool. Raises EOFError if it cannot be made."""
    with _errors_sent(connection):
        slot = Slot(source, index, render_mode)
    send_json(connection, {"spec": asdict(slot.spec), "traits": slot.traits})
    return slot


def _step(slots: dict[int, Slot], shared: Shared) -> None:
    for index, slot in slots.items():
        with _busy(shared, index):
            next_obs, reward, terminated, truncated, success = slot.step(shared.action[index])
        shared.next_obs[index] = next_obs
        shared.reward[index] = reward
        shared.terminated[index], shared.truncated[index] = terminated, truncated
        shared.success[index] = success


@contextmanager
def _busy(shared: Shared, index: int) -> Iterator[None]:
    """Mark an environment as running; the mark stays if it hangs or ends the process."""
    shared.busy[index] = True
    try:
        yield
    finally:
        shared.busy[index] = False


def _answer(slots: dict[int, Slot], shared: Shared, request: dict[str, Any]) -> dict[str, Any]:
    match request["do"]:
        case "reset":
            for i, seed in request["seeds"].items():
                with _busy(shared, int(i)):
                    first = slots[int(i)].reset(seed)
                shared.next_obs[int(i)] = first
            return {}
        case "replay":
            actions = np.array(request["actions"], np.float32).reshape(request["shape"])
            return slots[request["index"]].replay(request["seed"], actions)._asdict()
        case "restart":
            slots[request["index"]].restart()
            return {}
        case other:
            raise EntraxError(f"A worker received the unknown request {other!r}.")


if __name__ == "__main__":
    main()
