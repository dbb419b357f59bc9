"""The names algorithms go by: the file's name with hyphens."""

from typing import NamedTuple

from entrax.spec import Continuous, Spec


class Entry(NamedTuple):
    """A line of the registry."""

    module: str
    actions: tuple[str, ...]  # the spaces it takes
    paper: str
    use: str


REGISTRY = {
    "sac": Entry(
        module="entrax.agents.sac",
        actions=("Box",),
        paper="Haarnoja et al. 2018b, arXiv:1812.05905",
        use="the first choice for continuous control; its temperature tunes itself",
    ),
    "sac-value": Entry(
        module="entrax.agents.sac_value",
        actions=("Box",),
        paper="Haarnoja et al. 2018a, arXiv:1801.01290",
        use="the first version, with a state-value network and a reward scale that you tune; to compare and to study",
    ),
    "discrete-sac": Entry(
        module="entrax.agents.discrete_sac",
        actions=("Discrete", "MultiDiscrete"),
        paper="Christodoulou 2019, arXiv:1910.07207",
        use="a stochastic policy for discrete actions; its temperature tunes itself to an entropy you can name",
    ),
    "dqn": Entry(
        module="entrax.agents.dqn",
        actions=("Discrete", "MultiDiscrete"),
        paper="Mnih et al. 2015, doi:10.1038/nature14236; soft: Haarnoja et al. 2017, arXiv:1702.08165",
        use="deep Q-learning with one network: hard with ε-greedy exploration, or soft with --temperature 0.1",
    ),
}

FIRST_CHOICE = {"Box": "sac", "Discrete": "dqn", "MultiDiscrete": "dqn"}
"""The agent to take for a space of actions when none is named."""


def default_agent(spec: Spec) -> str:
    """The agent to take for an environment when none is named."""
    return FIRST_CHOICE["Box" if isinstance(spec.action, Continuous) else type(spec.action).__name__]
