"""`entrax agents`, and the page of settings that it writes."""

import json
from pathlib import Path

from entrax.agents.registry import REGISTRY
from entrax.cli import main
from entrax.cli.agents import page

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"


def test_the_page_of_settings_is_what_the_registry_says():
    assert PAGE.read_text(encoding="utf-8") == page() + "\n", "entrax agents --markdown > docs/agents.md"


def test_a_list_for_people_and_one_for_programs(capsys):
    main(["agents"])
    listed = capsys.readouterr().out
    assert "also     takes a --prior, can be composed" in listed
    main(["agents", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == REGISTRY.keys()
    assert all(f"\n{name}\n" in f"\n{listed}" for name in found)
    assert found["ppo"]["can"] == ["takes a --prior"]
