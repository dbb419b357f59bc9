"""An agent's updates from one batch, again and again."""

import jax
import jax.random as jr


def updated(agent, configs, state, batch, progress, updates):
    """The state after `updates` updates, as many by each configuration in turn."""

    @jax.jit
    def learn(state):
        for config in configs:

            def update(_, state, config=config):
                return agent.update(config, state, batch, progress, jr.key(0))[0]

            state = jax.lax.fori_loop(0, updates // len(configs), update, state)
        return state

    return learn(state)
