"""PETS: planning with a probabilistic ensemble (Chua et al. 2018, arXiv:1805.12114).

Two steps alternate:

    fit     a step of Adam on the likelihood of the replay, for each of E networks (`entrax.nets.ensemble_fit`)
    plan    from each observation maximise the mean return of H actions over particles, each of which follows a network
            (`entrax.planning.learned`), by the cross-entropy method or by path integral control; take the first action

There is no value function: what lies behind the horizon does not count. A drawn action is that of one of the best plans
instead of their mean, which explores.

Departs from the paper:
- the networks learn continually, `updates_per_step` steps of Adam for each step of the environment, instead of some
  epochs after each episode;
- the reward is learned, and termination too unless it is named;
- plans are warm-started from the plan before, with noise that may be coloured over time (Pinneri et al. 2020,
  arXiv:2008.06389), instead of a truncated normal distribution.
"""

from typing import Any

from jaxtyping import PRNGKeyArray, Scalar

from entrax import fields
from entrax.agents.base import continuous_size, vectors_only
from entrax.errors import UsageError
from entrax.fields import POSITIVE, Settings, as_arrays, at_least, field, one_of
from entrax.nets.ensemble import create_ensemble
from entrax.nets.ensemble_fit import Learning, fit, start_learning
from entrax.planning import Coloured, CrossEntropy, PathIntegral, White, ensemble_lookahead
from entrax.planning.learned import SAMPLING
from entrax.planning.termination import CHOICES, termination_named
from entrax.replay import Split
from entrax.spec import Progress, Spec, Transition

PLANNERS = ("cross-entropy", "path-integral")


class Config(Settings):
    """Hyperparameters."""

    learning_rate: float = fields.learning_rate(1e-3, "of the networks")
    discount: float = fields.discount(0.99)
    temperature: float = field(
        0.1, "Temperature of path integral control; the cross-entropy method has none.", POSITIVE, symbol="α"
    )
    planner: str = field("cross-entropy", "How plans are improved.", one_of(*PLANNERS), static=True)
    plan_length: int = field(20, "Actions of a plan.", at_least(1), symbol="H", static=True)
    plans: int = field(100, "Plans in each iteration of a decision.", at_least(2), static=True)
    best_plans: int = field(10, "Plans that the cross-entropy method keeps.", at_least(2), static=True)
    iterations: int = field(3, "Iterations of a decision.", at_least(1), static=True)
    std: float = field(0.7, "First deviation of the plans, in halves of an action's range.", POSITIVE, symbol="σ")
    colour: float = field(
        0.0, "Exponent of the noise's spectrum over time: 0 is white.", at_least(0), symbol="β", static=True
    )
    particles: int = field(1, "Particles for each network.", at_least(1), static=True)
    sampling: str = field(
        "tsinf", "Whether a particle keeps its network (tsinf) or not (ts1).", one_of(*SAMPLING), static=True
    )
    termination: str = fields.termination(CHOICES)
    members: int = fields.members(5, symbol="E")
    bootstrap: bool = fields.bootstrap(True)
    batch_size: int = fields.batch_size(64, of="transitions for each network")
    held_out: int = fields.held_out(64)
    replay_size: int = fields.replay_size(100_000)
    hidden: tuple[int, ...] = fields.hidden((128, 128, 128))


State = Learning


def resolve(config: Config, spec: Spec) -> Config:
    """Resolve the configuration. Raises UsageError for an environment that the agent does not take."""
    vectors_only(spec, "pets")
    continuous_size(spec, "pets")
    if config.best_plans > config.plans:
        raise UsageError(f"`best_plans` must be at most the {config.plans} `plans`, got {config.best_plans}.")
    return as_arrays(config)


def init(config: Config, spec: Spec, key: PRNGKeyArray) -> State:
    """Return the initial state; all networks are elites."""
    size, count = continuous_size(spec, "pets"), config.members
    ensemble = create_ensemble(spec.obs_size, size, members=count, elites=count, hidden=config.hidden, key=key)
    return start_learning(ensemble)


def policy(config: Config, state: State) -> CrossEntropy | PathIntegral:
    """Return the planner on the ensemble."""
    ensemble = state.params
    lookahead = ensemble_lookahead(
        ensemble,
        ensemble.action_size,
        config.plan_length,
        particles_per_elite=config.particles,
        sampling=config.sampling,
        termination=termination_named(config.termination),
        discount=config.discount,
    )
    noise = Coloured(config.colour) if config.colour else White()
    shared: dict[str, Any] = {"samples": config.plans, "iterations": config.iterations, "std": config.std}
    if config.planner == "path-integral":
        return PathIntegral(lookahead, config.temperature, noise=noise, **shared)
    return CrossEntropy(lookahead, elites=config.best_plans, noise=noise, **shared)


def data(config: Config) -> Split:
    """Return batches for each network, and held-out ones."""
    return Split(
        batch_size=config.batch_size,
        members=config.members,
        held_out=config.held_out,
        capacity=config.replay_size,
        bootstrap=config.bootstrap,
    )


def loop_defaults(config: Config, spec: Spec) -> dict[str, int | float | bool]:
    """Make five updates per step, which cost less than a plan."""
    return {"updates_per_step": 5.0}


def transferred_paths(config: Config, source: Config, keep_temperature: bool) -> tuple[str, ...]:
    """Carry over the ensemble with its running losses and their weight."""
    return "params", "losses", "fits"


def update(
    config: Config, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one step of Adam with every network."""
    return fit(state, *data(config).parts(batch), config.learning_rate)
