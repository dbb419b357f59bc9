"""The list of agents: an agent's name is its file's name with hyphens."""

from typing import Any, NamedTuple

from entrax.spec import Continuous, Spec


class Entry(NamedTuple):
    """One agent: where it is, what it takes, and when to use it."""

    module: str
    actions: tuple[str, ...]  # the spaces it takes
    paper: str
    use: str
    images: bool = False  # also observes images, besides vectors
    inner: str = ""  # of an agent that wraps another: the one that it wraps by default


REGISTRY = {
    "sac": Entry(
        module="entrax.agents.sac",
        actions=("Box",),
        paper="Haarnoja et al. 2018b, arXiv:1812.05905",
        use="the first choice for continuous control; its temperature tunes itself",
        images=True,
    ),
    "xqc": Entry(
        module="entrax.agents.xqc",
        actions=("Box",),
        paper="Palenicek et al. 2025, arXiv:2509.25174",
        use="published as needing fewer steps than `sac`; large networks and two updates per step cost time",
    ),
    "recurrent-sac": Entry(
        module="entrax.agents.recurrent_sac",
        actions=("Box",),
        paper="Haarnoja et al. 2018b, arXiv:1812.05905; Kapturowski et al. 2019, openreview.net/forum?id=r1lyTjAqYX",
        use="where one observation does not tell the state: `sac` with a memory, from windows of the replay",
    ),
    "sac-value": Entry(
        module="entrax.agents.sac_value",
        actions=("Box",),
        paper="Haarnoja et al. 2018a, arXiv:1801.01290",
        use="the first version, with a state-value network and a reward scale that you tune; to compare and to study",
    ),
    "soft-q": Entry(
        module="entrax.agents.soft_q",
        actions=("Box",),
        paper="Haarnoja et al. 2017, arXiv:1702.08165",
        use="a policy that keeps every good way, with several peaks if need be, at the `temperature` you choose",
    ),
    "pets": Entry(
        module="entrax.agents.pets",
        actions=("Box",),
        paper="Chua et al. 2018, arXiv:1805.12114",
        use="few steps: learns a model and plans with it in each step; decisions are slow and see `plan_length` steps",
    ),
    "mbpo": Entry(
        module="entrax.agents.mbpo",
        actions=("Box",),
        paper="Janner et al. 2019, arXiv:1906.08253",
        use="few steps: another agent, by default `sac`, learns from short rollouts of a learned model",
        inner="sac",
    ),
    "td3": Entry(
        module="entrax.agents.td3",
        actions=("Box",),
        paper="Fujimoto et al. 2018, arXiv:1802.09477",
        use="the stronger deterministic policy: one action in each state; to compare with",
    ),
    "ddpg": Entry(
        module="entrax.agents.ddpg",
        actions=("Box",),
        paper="Lillicrap et al. 2016, arXiv:1509.02971",
        use="the first deterministic policy; to compare with",
    ),
    "discrete-sac": Entry(
        module="entrax.agents.discrete_sac",
        actions=("Discrete", "MultiDiscrete"),
        paper="Christodoulou 2019, arXiv:1910.07207",
        use="a stochastic policy for discrete actions; its temperature tunes itself to an entropy you can name",
        images=True,
    ),
    "dqn": Entry(
        module="entrax.agents.dqn",
        actions=("Discrete", "MultiDiscrete"),
        paper="Mnih et al. 2015, doi:10.1038/nature14236; soft: Haarnoja et al. 2017, arXiv:1702.08165",
        use="deep Q-learning with one network: hard with ε-greedy exploration, or soft with `temperature=0.1`",
        images=True,
    ),
    "ppo": Entry(
        module="entrax.agents.ppo",
        actions=("Box", "Discrete", "MultiDiscrete"),
        paper="Schulman et al. 2017, arXiv:1707.06347",
        use="the robust policy gradient, for steps that are cheap; maximum entropy with `temperature=0.01`",
        images=True,
    ),
    "reinforce": Entry(
        module="entrax.agents.reinforce",
        actions=("Box", "Discrete", "MultiDiscrete"),
        paper="Williams 1992, doi:10.1007/BF00992696",
        use="the plain policy gradient, up to actor-critic; to study, and for histories: `memory=16`",
    ),
    "pcl": Entry(
        module="entrax.agents.pcl",
        actions=("Box", "Discrete", "MultiDiscrete"),
        paper="Nachum et al. 2017, arXiv:1702.08892",
        use="path consistency, the soft optimum from old data of any policy, in problems with little chance; to study",
    ),
}

FIRST_CHOICE = {"Box": "sac", "Discrete": "dqn", "MultiDiscrete": "dqn"}
"""The default agent for each space of actions."""


def is_registered(name: Any) -> bool:
    """Whether an agent of entrax has this name; `name` may be anything that a config.json holds."""
    return isinstance(name, str) and name in REGISTRY


def default_agent(spec: Spec, preferred: str | None = None) -> str:
    """Return the default agent for an environment: `preferred`, where that takes its actions and observations."""
    space = "Box" if isinstance(spec.action, Continuous) else type(spec.action).__name__
    entry = REGISTRY[preferred] if preferred is not None else None
    if entry is not None and space in entry.actions and (spec.image is None or entry.images):
        return str(preferred)
    return FIRST_CHOICE[space]
