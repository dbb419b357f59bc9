"""Where learning and acting run. Call `set_up` before anything else touches JAX's devices."""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import equinox as eqx
import jax

from entrax import xla
from entrax.environments.make import usable_cores
from entrax.errors import UsageError, alternatives
from entrax.programs import keep_programs

T = TypeVar("T")


@dataclass(frozen=True)
class Devices:
    """`learner` runs the updates; `actor` is a CPU device of its own, so that acting never queues behind them."""

    learner: jax.Device
    actor: jax.Device


def set_up(device: str | None, threads: int | None) -> Devices:
    """Choose the devices and turn the compilation cache on; a JAX that is already running keeps what it has.

    `device` is "cpu", "gpu", "tpu" or None for the fastest. Raises EntraxError if there is no such device.
    """
    if threads is not None:
        os.environ["NPROC"] = str(threads)  # what XLA sizes its thread pools by
    keep_programs()
    # A JAX that the caller has used already keeps its devices: acting then waits for updates, with the same results.
    with suppress(RuntimeError):
        # One CPU device runs its programs in the order they were handed to it, hence one more.
        jax.config.update("jax_num_cpu_devices", 2)
    try:
        learner = jax.devices(device)[0]
    except RuntimeError as error:
        kinds = sorted({d.platform for d in jax.devices()} | {"cpu"})
        raise UsageError(f"`device` must be {alternatives(kinds)} on this machine, got {device!r}.") from error
    xla.check()
    return Devices(learner=learner, actor=jax.devices("cpu")[-1])


def available_threads() -> int:
    """Return the threads that XLA uses by default; results depend on it in their last bits."""
    if os.environ.get("NPROC", "").isdigit():
        return int(os.environ["NPROC"])
    return usable_cores()


def put(tree: T, device: jax.Device) -> T:
    """Return the tree with its arrays on `device`; other leaves stay as they are."""
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.device_put(arrays, device), rest)
