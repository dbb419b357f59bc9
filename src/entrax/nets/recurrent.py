"""A memory of earlier inputs: a gated recurrent unit."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray


class Memory(eqx.Module):
    """m' = GRU(m, x) (Cho et al. 2014, arXiv:1406.1078), starting at m = 0: a function of all x since the start."""

    cell: eqx.nn.GRUCell

    def __init__(self, in_size: int, size: int, key: PRNGKeyArray):
        self.cell = eqx.nn.GRUCell(in_size, size, key=key)

    def begin(self) -> Float[Array, " memory"]:
        """Return the memory before the first input."""
        return jnp.zeros(self.cell.hidden_size)

    def __call__(self, memory: Float[Array, " memory"], x: Float[Array, " in"]) -> Float[Array, " memory"]:
        """Return the memory after one more input."""
        return self.cell(x, memory)

    def along(self, x: Float[Array, "time in"], first: Bool[Array, " time"]) -> Float[Array, "time memory"]:
        """Return the memory after each step of a sequence. It is reset where `first` is true, and at the start."""

        def step(
            memory: Float[Array, " memory"], now: tuple[Float[Array, " in"], Bool[Array, ""]]
        ) -> tuple[Float[Array, " memory"], Float[Array, " memory"]]:
            memory = self(jnp.where(now[1], self.begin(), memory), now[0])
            return memory, memory

        return jax.lax.scan(step, self.begin(), (x, first))[1]
