"""Agents and settings of the studies on `entrax/MultiGoal-v0`."""

from typing import Any

ENV = "entrax/MultiGoal-v0"
ROLLOUTS = 1000

LOOP: dict[str, Any] = {"envs": 8, "workers": 0, "eval_every": 0}
SOFT_QUICK: dict[str, Any] = LOOP | {
    "temperature": 10.0,
    "steps": 12_000,
    "learning_starts": 3_000,
    "learning_rate": 2e-3,
    "target_rate": 0.02,
    "batch_size": 64,
    "hidden": (128, 128, 64),
    "critics": 1,
    "particles": 16,
}
HARD_QUICK: dict[str, Any] = LOOP | {"steps": 6_000, "learning_starts": 1_000, "hidden": (64, 64), "batch_size": 64}
SOFT_FULL: dict[str, Any] = LOOP | {"temperature": 10.0, "steps": 60_000, "learning_rate": 1e-3}
HARD_FULL: dict[str, Any] = LOOP | {"steps": 60_000}

QUICK: dict[str, tuple[str, dict[str, Any]]] = {"soft": ("soft-q", SOFT_QUICK), "deterministic": ("td3", HARD_QUICK)}
FULL: dict[str, tuple[str, dict[str, Any]]] = {"soft": ("soft-q", SOFT_FULL), "deterministic": ("td3", HARD_FULL)}
"""By kind, the agent's name and its settings. The policy of "soft" is sampled, the other is not."""
