"""Batch temporal differences converge to the value of the estimated model.

The data are recorded episodes of a random walk that pays 1 at one of its ends. Batch TD sweeps over the transitions
until it converges; the model is estimated by counting them and solved exactly; Monte Carlo averages returns. On finite
data the first two agree and differ from the third; all three converge to the true value.

Source: Sutton (1988), Learning to predict by the methods of temporal differences; Sutton and Barto (2018), section 6.3.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from entrax.exact import evaluate
from entrax.problems import FiniteMDP, random_walk
from entrax.spec import Transition
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, decide, summarise_seeds
from entrax.tabular import batch_monte_carlo, batch_td, sample_transitions

WALK, DISCOUNT = 9, 0.95
SAME, DIFFERENT = 1e-8, 1e-4  # of values up to 1
APART = 1e-3  # the least distance of Monte Carlo from the model at which the agreement of the others is informative


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure the distances between the three values, by transitions and seed."""
    sizes = (100, 1_000, 10_000) if quick else (100, 300, 1_000, 3_000, 10_000, 30_000)
    mdp = random_walk(WALK, exit_rewards=(0.0, 1.0), discount=DISCOUNT)
    policy = np.full(mdp.reward.shape, 1 / mdp.actions)
    truth = np.asarray(evaluate(mdp, policy).value)
    data = [sample_transitions(mdp, policy, steps=max(sizes), key=jax.random.key(seed)) for seed in seeds]
    rows = []
    for size in sizes:
        results = [distances(whole_episodes(each, size), mdp, truth) for each in data]
        rows.append(
            {"transitions": size} | {name: summarise_seeds([row[name] for row in results]) for name in results[0]}
        )
    return {"rows": rows}


def whole_episodes(data: Transition, size: int) -> Transition:
    """Return the episodes that ended within the first `size` transitions."""
    last = int(np.flatnonzero(data.terminated[:size])[-1]) + 1
    return Transition(**{name: field[:last] for name, field in data.fields().items()})


def distances(data: Transition, mdp: FiniteMDP, truth: np.ndarray) -> dict[str, float]:
    """Return the largest differences over the states that the data visit."""
    td = batch_td(data, states=mdp.states, discount=DISCOUNT, tolerance=1e-12).value
    returns = batch_monte_carlo(data, states=mdp.states, discount=DISCOUNT)
    model = model_value(data, mdp.states)
    visited = np.isfinite(td)

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.abs(one - other)[visited].max())

    return {
        "td_to_model": apart(td, model),
        "monte_carlo_to_model": apart(returns, model),
        "td_error": apart(td, truth),
        "monte_carlo_error": apart(returns, truth),
    }


def model_value(data: Transition, states: int) -> np.ndarray:
    """Return the exact value of the model estimated from the data."""
    model = FiniteMDP.from_data(
        state=data.obs,
        action=0,
        reward=data.reward,
        next_state=data.next_obs,
        terminated=data.terminated,
        unseen="mask",
        states=states,
        actions=1,
        discount=DISCOUNT,
    )
    return np.asarray(evaluate(model, np.ones((states, 1))).value)


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    agree = max(max(row["td_to_model"]["values"]) for row in numbers["rows"])
    other = numbers["rows"][0]["monte_carlo_to_model"]["median"]
    return decide(supported=agree <= SAME and other > APART, refuted=agree > DIFFERENT)


def control() -> ControlResult:
    """Compute both values from eight episodes: A then B without reward, six times B with 1, and B with 0."""
    state = np.array([0, *[1] * 8])
    ended = np.array([False, *[True] * 8])
    data = Transition(
        obs=state,
        action=np.zeros(9, int),
        reward=np.array([0.0, 0.0, *[1.0] * 6, 0.0]),
        next_obs=np.where(ended, state, 1),
        terminated=ended,
        truncated=np.zeros(9, bool),
    )
    td = batch_td(data, states=2, discount=1.0, tolerance=1e-12).value[0]
    mean = batch_monte_carlo(data, states=2, discount=1.0)[0]
    return ControlResult(
        seen=bool(abs(td - 0.75) <= SAME and abs(mean) <= SAME), numbers={"td": float(td), "monte_carlo": float(mean)}
    )


STUDY = Study(
    name="certainty-equivalence",
    claim="Batch temporal differences converge to the value of the model that the data estimate.",
    criterion=(
        f"Supported if for every data set batch TD is within {SAME:g} of the exact value of the estimated model, while "
        f"on the smallest data sets Monte Carlo is, in the median, further than {APART:g} from it. Refuted if batch TD "
        f"is further off than {DIFFERENT:g} for any data set."
    ),
    look=(
        "Left, the deciding panel: the distance of both estimates to the exact value of the model that is counted "
        "from the data. Batch TD must be there within the solver's tolerance, at every size of the data, and Monte "
        "Carlo must not. Right: the distance to the true value, to which both converge as the data grow."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="Batch TD has the value of the estimated model, and Monte Carlo another.",
        case="eight episodes of Sutton and Barto's example 6.4: TD has 0.75 for the first state, Monte Carlo 0",
        control=control,
    ),
)
