"""The names algorithms go by: the file's name with hyphens."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A line of the registry."""

    module: str
    actions: str
    paper: str
    use: str


REGISTRY = {
    "sac": Entry(
        module="entrax.agents.sac",
        actions="continuous",
        paper="Haarnoja et al. 2018b, arXiv:1812.05905",
        use="the first choice for continuous control; its temperature tunes itself",
    ),
    "sac-value": Entry(
        module="entrax.agents.sac_value",
        actions="continuous",
        paper="Haarnoja et al. 2018a, arXiv:1801.01290",
        use="the first version, with a state-value network and a reward scale that you tune; to compare and to study",
    ),
}
