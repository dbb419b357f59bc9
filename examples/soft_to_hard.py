"""Show how FrozenLake's optimal policy becomes hard as temperature falls.

    python examples/soft_to_hard.py [FIGURE.png]

`plan` solves it at every temperature including 0. Left: the soft value of the start in both conventions, which converge
to the hard optimum from above and from below. Middle: the reward of the soft policies. Right: the distance of their
action probabilities from those of the hard policy, with ties shared. Takes about a quarter of a minute.
"""

import sys
from pathlib import Path

import jax
import matplotlib

matplotlib.use("agg")
import jax.numpy as jnp
import numpy as np
from matplotlib import pyplot

from entrax.exact import evaluate, plan
from entrax.problems import FiniteMDP

TEMPERATURES = np.geomspace(1e-4, 1.0, 41)
INK, BLUE, RED, GREEN = "#2b2d33", "#1f5fa8", "#d1495b", "#2a9d5c"


def path(mdp: FiniteMDP) -> dict[str, np.ndarray]:
    """Return start values, expected rewards and distances by temperature.

    Start values are in both conventions; distances are to the hard policy.
    """
    hard, rows = plan(mdp, 0.0), []
    live = ~np.asarray(mdp.terminal)
    for alpha in map(float, TEMPERATURES):
        entropy, kl = plan(mdp, alpha), plan(mdp, alpha, convention="kl")
        earned = evaluate(mdp, entropy.policy, 0.0).value[0]
        gap = jnp.abs(entropy.policy - hard.policy)[live].max()
        rows.append((entropy.value[0], kl.value[0], earned, gap))
    columns = np.array(rows).T
    return dict(zip(("entropy", "kl", "earned", "gap"), columns, strict=True)) | {"hard": np.asarray(hard.value[0])}


def draw(of: dict[str, np.ndarray], figure: Path) -> None:
    """Draw three panels over the temperature, which falls to the right."""
    pyplot.rcParams.update({"font.size": 10.5, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": "#999999"})
    _, (values, reward, distance) = pyplot.subplots(1, 3, figsize=(12.5, 3.6), layout="constrained")
    values.plot(TEMPERATURES, of["entropy"], color=RED, lw=2, label="entropy convention")
    values.plot(TEMPERATURES, of["kl"], color=BLUE, lw=2, label="KL convention")
    values.set(ylabel="soft value of the start", ylim=(0.0, 1.5))
    reward.plot(TEMPERATURES, of["earned"], color=GREEN, lw=2, label="soft policy")
    reward.set(ylabel="expected discounted reward", ylim=(0.0, 0.6))
    distance.plot(TEMPERATURES, of["gap"], color=INK, lw=2)
    distance.set(ylabel="largest |π − π_hard|", yscale="log", ylim=(1e-12, 2.0))
    for axes in (values, reward):
        axes.axhline(float(of["hard"]), color=INK, lw=1, ls=":", label="hard optimum")
        axes.legend(frameon=False, loc="best")
    for axes in (values, reward, distance):
        axes.set(xscale="log", xlim=(TEMPERATURES[-1], TEMPERATURES[0]), xlabel="temperature α")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    pyplot.savefig(figure, dpi=150)


def main() -> None:
    """Solve, draw, and print the results."""
    figure = Path(sys.argv[1] if len(sys.argv) > 1 else "soft-to-hard.png")
    with jax.enable_x64(True):
        of = path(FiniteMDP.from_gymnasium("FrozenLake-v1", discount=0.99))
    draw(of, figure)
    for i in range(0, len(TEMPERATURES), 10):
        values = "  ".join(f"{name} {of[name][i]:.6f}" for name in ("entropy", "kl", "earned", "gap"))
        print(f"α = {TEMPERATURES[i]:.4f}  {values}")
    print(f"hard optimum {float(of['hard']):.6f}; the figure is {figure}")


if __name__ == "__main__":
    main()
