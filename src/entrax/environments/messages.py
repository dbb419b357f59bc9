"""What a pool and its workers say to each other over a socket, and the arrays they share.

A message is one byte for its kind; b"j" is followed by a length and JSON, b"s" (step) and b"k" (done) by nothing.
"""

import json
import mmap
import socket
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num

STEP, DONE, JSON = b"s", b"k", b"j"


class Shared(NamedTuple):
    """One page range for all environments of a pool: the pool writes actions, each worker the rows of its own."""

    action: Float[np.ndarray, "env action"]
    next_obs: Num[np.ndarray, "env obs"]  # also what a reset observes
    reward: Float[np.ndarray, " env"]
    success: Float[np.ndarray, " env"]
    terminated: Bool[np.ndarray, " env"]
    truncated: Bool[np.ndarray, " env"]
    busy: Bool[np.ndarray, " env"]  # set during a reset or a step, to tell which environment took its worker down


def shared_bytes(count: int, obs_size: int, obs_dtype: str, action_size: int) -> int:
    """Bytes that `shared_arrays` lays out."""
    return count * (4 * (action_size + 2) + np.dtype(obs_dtype).itemsize * obs_size + 3)


def shared_arrays(file: int, count: int, obs_size: int, obs_dtype: str, action_size: int) -> Shared:
    """The arrays in the file descriptor `file`, which has `shared_bytes` bytes."""
    memory = mmap.mmap(file, shared_bytes(count, obs_size, obs_dtype, action_size))
    floats = np.frombuffer(memory, np.float32, count * (action_size + 2))
    obs = np.frombuffer(memory, obs_dtype, count * obs_size, offset=floats.nbytes)
    flags = np.frombuffer(memory, np.bool_, 3 * count, offset=floats.nbytes + obs.nbytes)
    action, reward, success = np.split(floats, [count * action_size, count * (action_size + 1)])
    return Shared(
        action=action.reshape(count, action_size),
        next_obs=obs.reshape(count, obs_size),
        reward=reward,
        success=success,
        terminated=flags[:count],
        truncated=flags[count : 2 * count],
        busy=flags[2 * count :],
    )


def send_json(connection: socket.socket, content: Any) -> None:
    """Send one JSON message."""
    data = json.dumps(content).encode()
    connection.sendall(JSON + len(data).to_bytes(4, "little") + data)


def receive(connection: socket.socket) -> tuple[bytes, Any]:
    """The next message: its kind, and the content of a JSON one. Raises EOFError when the other side is gone."""
    kind = _exactly(connection, 1)
    if kind != JSON:
        return kind, None
    return kind, json.loads(_exactly(connection, int.from_bytes(_exactly(connection, 4), "little")))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            more = connection.recv(count - len(data))
        except ConnectionError as error:
            raise EOFError("The other side is gone.") from error
        if not more:
            raise EOFError("The other side is gone.")
        data += more
    return data
