"""The list of agents against the agents themselves."""

import pytest

from entrax.agents.lookup import get_agent
from entrax.agents.registry import REGISTRY, default_agent, is_registered
from entrax.errors import EntraxError
from entrax.spec import Discrete, MultiDiscrete
from tests.agents import reference64 as ref

SPECS = {
    "Box": ref.SPEC,
    "Discrete": ref.discrete_spec(Discrete(3)),
    "MultiDiscrete": ref.discrete_spec(MultiDiscrete((2, 3))),
}


@pytest.mark.parametrize("name", REGISTRY)
def test_an_agent_takes_the_spaces_it_is_listed_with_and_no_others(name):
    agent = get_agent(name)
    for space, spec in SPECS.items():
        if space in REGISTRY[name].actions:
            agent.resolve(agent.Config(), spec)
        else:
            with pytest.raises(EntraxError, match="needs"):
                agent.resolve(agent.Config(), spec)


@pytest.mark.parametrize("space", SPECS)
def test_the_default_agent_takes_the_space(space):
    assert space in REGISTRY[default_agent(SPECS[space])].actions


def test_every_agent_names_its_paper_and_its_use():
    for entry in REGISTRY.values():
        assert "arXiv:" in entry.paper or "doi:" in entry.paper
        assert entry.use


@pytest.mark.parametrize("name", ["sca", "", None, 3, ["sac"], {"sac": 1}])
def test_a_name_from_a_file_may_be_anything(name):
    assert not is_registered(name)
    assert all(map(is_registered, REGISTRY))
