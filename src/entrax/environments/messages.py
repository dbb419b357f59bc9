"""The messages between a pool and its workers, and the arrays they share.

A message starts with one byte for its kind: b"j" is followed by a length and JSON, b"p" by the height and width of a
picture and its bytes, b"s" (step) and b"k" (done) by nothing.
"""

import json
import mmap
import socket
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num, UInt8

STEP, DONE, JSON, PICTURE = b"s", b"k", b"j", b"p"
Picture = UInt8[np.ndarray, "height width 3"]


class Shared(NamedTuple):
    """Memory that a pool shares with its workers.

    The pool writes actions; each worker writes the rows of its environments.
    """

    action: Float[np.ndarray, "env action"]
    next_obs: Num[np.ndarray, "env obs"]  # also the first observation after a reset
    reward: Float[np.ndarray, " env"]
    success: Float[np.ndarray, " env"]
    terminated: Bool[np.ndarray, " env"]
    truncated: Bool[np.ndarray, " env"]
    busy: Bool[np.ndarray, " env"]  # during a reset or a step: names the environment at fault if the worker dies


def shared_bytes(count: int, obs_size: int, obs_dtype: str, action_size: int) -> int:
    """Return the number of bytes of `shared_arrays`."""
    return count * (4 * (action_size + 2) + np.dtype(obs_dtype).itemsize * obs_size + 3)


def shared_arrays(file: int, count: int, obs_size: int, obs_dtype: str, action_size: int) -> Shared:
    """Map the arrays in the file descriptor `file`, which has `shared_bytes` bytes."""
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


def send_picture(connection: socket.socket, picture: Picture) -> None:
    """Send one picture."""
    size = b"".join(length.to_bytes(4, "little") for length in picture.shape[:2])
    connection.sendall(PICTURE + size + picture.tobytes())


def receive(connection: socket.socket) -> tuple[bytes, Any]:
    """Return the next message: its kind and its content.

    Raises EOFError if the other side has closed.
    """
    kind = _exactly(connection, 1)
    if kind == PICTURE:
        height, width = (int.from_bytes(_exactly(connection, 4), "little") for _ in range(2))
        data = _exactly(connection, height * width * 3)
        return kind, np.frombuffer(data, np.uint8).reshape(height, width, 3)
    if kind != JSON:
        return kind, None
    return kind, json.loads(_exactly(connection, int.from_bytes(_exactly(connection, 4), "little")))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        try:
            more = connection.recv(count - len(data))
        except ConnectionError as error:
            raise EOFError("the other side has closed") from error
        if not more:
            raise EOFError("the other side has closed")
        data += more
    return bytes(data)
