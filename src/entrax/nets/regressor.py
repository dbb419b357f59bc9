"""A network with scikit-learn's interface: a regressor for fitted Q-iteration."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from entrax.nets.mlp import MLP

Inputs = Float[Array | np.ndarray, "sample input"]
Targets = Float[Array | np.ndarray, " sample"]


class NetworkRegressor:
    """ReLU layers of the sizes in `hidden`, fitted by `steps` steps of Adam on the mean square over all samples.

    A fit starts from the weights of the previous one (as the rounds of neural fitted Q-iteration may, Riedmiller 2005,
    doi:10.1007/11564096_32). With `warm_start` false it starts from the initial weights of `seed`.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        *,
        learning_rate: float = 3e-3,
        steps: int = 300,
        seed: int = 0,
        warm_start: bool = True,
    ):
        self.hidden, self.learning_rate, self.steps, self.seed = tuple(hidden), learning_rate, steps, seed
        self.warm_start = warm_start
        self.network: MLP | None = None

    def fit(self, X: Inputs, y: Targets) -> "NetworkRegressor":
        """Fit y as a function of the rows of X."""
        network = self.network
        if network is None or not self.warm_start:
            network = MLP(X.shape[1], self.hidden, 1, jr.key(self.seed))
        rate, steps = jnp.asarray(self.learning_rate), jnp.asarray(self.steps)
        self.network = _fitted(network, jnp.asarray(X, jnp.float32), jnp.asarray(y, jnp.float32), rate, steps)
        return self

    def predict(self, X: Inputs) -> Float[np.ndarray, " sample"]:
        """Predict y for the rows of X; 0 before the first fit."""
        if self.network is None:
            return np.zeros(len(X))
        return np.asarray(_outputs(self.network, jnp.asarray(X, jnp.float32)), float)


@eqx.filter_jit
def _outputs(network: MLP, x: Float[Array, "sample input"]) -> Float[Array, " sample"]:
    return jax.vmap(network)(x)[:, 0]


@eqx.filter_jit
def _fitted(
    network: MLP,
    x: Float[Array, "sample input"],
    y: Float[Array, " sample"],
    rate: Float[Array, ""],
    steps: Int[Array, ""],
) -> MLP:
    """Return the network after `steps` steps, whose learning rate falls linearly from `rate` to 0."""

    def loss(network: MLP) -> Float[Array, ""]:
        return 0.5 * jnp.mean((jax.vmap(network)(x)[:, 0] - y) ** 2)

    def one(i: Array, carry: tuple[MLP, optax.OptState]) -> tuple[MLP, optax.OptState]:
        network, state = carry
        adam = optax.adam(rate * (1 - i / steps))
        step, state = adam.update(jax.grad(loss)(network), state)
        return optax.apply_updates(network, step), state

    return jax.lax.fori_loop(0, steps, one, (network, optax.adam(rate).init(network)))[0]
