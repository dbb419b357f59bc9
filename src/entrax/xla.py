"""A guard against a fusion of XLA's CPU compiler that computes wrong numbers.

`sum(dot(E, full(c)) * E)` is wrong by any factor at some sizes, such as 64×64, in the versions of jaxlib below. Every
package of entrax that computes with JAX imports this module, which switches the fusion off.
"""

import os
import warnings
from functools import cache
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np

FLAG = "--xla_cpu_experimental_ynn_fusion_type"
WITHOUT_REDUCTIONS = f"{FLAG}=-reduce"
TESTED = {"0.10.2", "0.11.0", "0.11.1", "0.11.2", "0.12.0", "0.12.0.1"}
"""The versions of jaxlib that have the fault and know the flag. XLA ends the process for an unknown flag."""


def guard() -> None:
    """Switch the fusion off for this process and its children.

    If JAX already runs, only check it.
    """
    if _started_before:
        check()
    elif version("jaxlib") in TESTED and not _flag_given():
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {WITHOUT_REDUCTIONS}".strip()


@cache
def check() -> None:
    """Warn once if the fusion is on and computes a small sum of products wrongly.

    This starts JAX.
    """
    if not _flag_given() or _started_before:
        warn_if_wrong()


def warn_if_wrong() -> None:
    """Warn if XLA computes a small sum of products wrongly on this CPU."""
    x = np.linspace(-1.0, 1.0, 64 * 64, dtype=np.float32).reshape(64, 64)
    on_cpu = jax.device_put((x, np.float32(1.0)), jax.local_devices(backend="cpu")[0])
    expected = x.astype(float).sum(axis=1) ** 2
    if not np.allclose(np.asarray(jax.jit(_sums)(*on_cpu)), expected, rtol=1e-3, atol=1e-3):
        warnings.warn(
            f"XLA {version('jaxlib')} computes some sums wrongly on this CPU. Import entrax before the first use of "
            f"JAX, or set XLA_FLAGS={WITHOUT_REDUCTIONS} if this version of XLA knows that flag.",
            RuntimeWarning,
            stacklevel=2,
        )


def _flag_given() -> bool:
    return FLAG in os.environ.get("XLA_FLAGS", "")


def _sums(x: jax.Array, c: jax.Array) -> jax.Array:
    return jnp.sum((x @ jnp.full((64, 64), c)) * x, axis=-1)


def _backend_started() -> bool:
    """Return whether JAX's backend runs, after which flags are ignored and the number of devices is fixed."""
    before = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]
    try:
        jax.config.update("jax_num_cpu_devices", 2 if before != 2 else 3)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", before)
    return False


_started_before = _backend_started()
guard()
