"""The figures of the studies, drawn from their numbers."""

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from entrax.report.behaviour_figures import any_direction, fine_tuning
from entrax.report.collapse_figure import PANELS as COLLAPSE_PANELS
from entrax.report.collapse_figure import sampled_collapse
from entrax.report.composition_figures import composition
from entrax.report.curve import COLOURS, INK
from entrax.report.delayed_choice_figure import PANELS as DELAYED_CHOICE_PANELS
from entrax.report.delayed_choice_figure import delayed_choice
from entrax.report.direction_film import write_direction_film
from entrax.report.exact_composition_figure import PANELS as EXACT_COMPOSITION_PANELS
from entrax.report.exact_composition_figure import exact_composition
from entrax.report.files import save_figure
from entrax.report.gait_figures import PANELS as GAIT_PANELS
from entrax.report.gait_figures import gaits, write_gait_film
from entrax.report.lq_figures import (
    LEARNED_PANELS,
    MOTOR_PANELS,
    OPTIMISM_PANELS,
    learned_regulator,
    lq_optimism,
    motor_variability,
)
from entrax.report.lucky_demonstrations_figure import PANELS as LUCKY_PANELS
from entrax.report.lucky_demonstrations_figure import lucky_demonstrations
from entrax.report.passage_figures import two_passages, write_film
from entrax.report.performance_figure import PANELS as PERFORMANCE_PANELS
from entrax.report.performance_figure import performance
from entrax.report.robustness_figures import PANELS as ROBUSTNESS_PANELS
from entrax.report.robustness_figures import reward_robustness, robustness
from entrax.report.stacking_figures import PANELS as STACKING_PANELS
from entrax.report.stacking_figures import stacking, write_stacking_film
from entrax.report.z_learning_figure import PANELS as Z_LEARNING_PANELS
from entrax.report.z_learning_figure import z_learning

Numbers = Mapping[str, Any]
COLUMNS = 4  # panels side by side
SMALLEST = 1e-17  # stands for a difference of 0 on a logarithmic axis


def draw_study(result: Mapping[str, Any], path: Path) -> None:
    """Draw a study's result, as in its numbers.json, into a PNG at `path`."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    style: Any = {"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}
    with pyplot.rc_context(style | {"axes.edgecolor": "#999999"}):
        panels, draw = FIGURES[result["study"]]
        rows, columns = -(-panels // COLUMNS), min(panels, COLUMNS)
        figure, grid = pyplot.subplots(
            rows, columns, figsize=(4.6 * columns, 4.0 * rows), layout="constrained", squeeze=False
        )
        axes = grid.flat[:panels]
        draw(axes, result["numbers"])
        for axis in axes:
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.3, linewidth=0.6)
            axis.set_axisbelow(True)
        title = f"{result['study']}: {result['verdict']}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        stated = [textwrap.fill(line, 52 * columns) for line in result["statement"]["lines"]]
        figure.supxlabel("\n".join(stated), x=0.01, ha="left", fontsize=8, color="#666666")
        save_figure(figure, path)
        pyplot.close(figure)


def temperature_limit(axes: Any, numbers: Numbers) -> None:
    """Draw value gap, loss and disagreement over the temperature."""
    alpha = numbers["temperatures"]
    for place, (name, problem) in enumerate(numbers["problems"].items()):
        lake = not name.startswith("random")
        colour = COLOURS[0] if lake else COLOURS[4]
        label = name if lake else ("random problems" if name == "random 0" else None)
        zorder = 5 - place
        axes[0].plot(
            alpha, np.maximum(problem["value_gap"], 1e-9), "o-", color=colour, markersize=3, label=label, zorder=zorder
        )
        if name in ("FrozenLake", "random 0"):
            axes[0].plot(alpha, problem["bound"], ":", color=colour, label=f"α log|A|/(1−γ), {label}")
        axes[1].plot(alpha, np.maximum(problem["loss"], 1e-9), "o-", color=colour, markersize=3, zorder=zorder)
        axes[2].plot(alpha, np.maximum(problem["policy_difference"], SMALLEST), "o-", color=colour, markersize=3)
    for axis in axes:
        axis.set(xscale="log", yscale="log", xlabel="temperature α")
        axis.invert_xaxis()
    axes[0].set_title("soft value above the hard one", loc="left")
    axes[0].legend(frameon=False, fontsize=8)
    axes[1].set_title("return lost\n(1: as much as the uniform policy loses)", loc="left")
    axes[2].set_title("π at temperature α against π of r/α:\nlargest difference of a probability", loc="left")


def ties(axes: Any, numbers: Numbers) -> None:
    """Draw the measured odds over the advantage, and the shares of both plans."""
    rows = numbers["rows"]
    for place, alpha in enumerate(sorted({row["alpha"] for row in rows})):
        here = [row for row in rows if row["alpha"] == alpha]
        x = [row["advantage"] for row in here]
        y = [np.median(np.array(row["ascended"])[np.array(row["together"]) >= 0.01]) for row in here]
        look = {"color": COLOURS[place], "markersize": 10 - 3 * place, "fillstyle": "none", "label": f"α = {alpha:g}"}
        axes[0].plot(x, y, "so^Dv"[place % 5], **look)
    x = sorted({row["advantage"] for row in rows})
    axes[0].plot(x, x, "-", color=INK, linewidth=1, label="ε/α")
    axes[0].set(xlabel="advantage of the copy, ε/α", ylabel="log-odds of the copy")
    axes[0].set_title("numerical ascent of reward + α · entropy:\nthe odds follow the advantage", loc="left")
    axes[0].legend(frameon=False, fontsize=8)
    share = [np.mean(np.concatenate([row["hard_share"] for row in rows if row["advantage"] == each])) for each in x]
    planned = [np.mean(np.concatenate([row["planned"] for row in rows if row["advantage"] == each])) for each in x]
    soft = 1 / (1 + np.exp(-np.array(planned)))
    axes[1].plot(x, share, "s-", color=COLOURS[1], label="hard plan")
    axes[1].plot(x, soft, "o-", color=COLOURS[0], label="soft plan")
    axes[1].set(xlabel="advantage of the copy, ε/α", ylim=(0, 1.05))
    axes[1].set_title("share of the copy, of both", loc="left")
    axes[1].legend(frameon=False, fontsize=8)


def policy_gradient_is_soft_q(axes: Any, numbers: Numbers) -> None:
    """Draw the terms along training, on and off policy, and errors of the identities."""
    for axis, name, label in ((axes[0], "on_policy", "on policy"), (axes[1], "off_policy", "uniform behaviour")):
        for place, (term, text) in enumerate(
            (("soft_q", "soft Q-learning"), ("policy_term", "α · policy gradient"), ("value_term", "fit of the value"))
        ):
            courses = np.array([[point[term] for point in run[name]] for run in numbers["training"]])
            thousands = np.arange(1, courses.shape[1] + 1) * 1.024
            look = {"linestyle": "-" if place < 2 else "--", "zorder": 3 + place}
            axis.plot(thousands, np.median(courses, axis=0), color=COLOURS[place], label=text, **look)
            low, high = courses.min(axis=0), courses.max(axis=0)
            axis.fill_between(thousands, low, high, color=COLOURS[place], alpha=0.15, linewidth=0)
        axis.set(yscale="log", xlabel="thousand steps of soft Q-learning", ylabel="norm of the gradient")
        axis.set_title(f"{label}: median and range of problems", loc="left", fontsize=10)
    axes[0].legend(frameon=False, fontsize=8)
    points = [point for run in numbers["training"] for name in ("on_policy", "off_policy") for point in run[name]]
    errors = {
        "identity,\nterm by term": [point["identity_error"] for point in points],
        "difference of targets\nagainst α KL(b ‖ π)": [point["target_error"] for point in points],
        "policy term against\nthe exact gradient": [each["gradient_error"] for each in numbers["at_random"]],
    }
    for place, values in enumerate(errors.values()):
        spread = place + np.linspace(-0.2, 0.2, len(values))
        axes[2].plot(spread, np.maximum(values, SMALLEST), ".", color=COLOURS[place], markersize=4)
    axes[2].set(yscale="log", ylim=(SMALLEST / 3, 1e-6), xticks=range(3))
    axes[2].set_xticklabels(errors, fontsize=8)
    axes[2].set_title("errors (float64 has 2·10⁻¹⁶)", loc="left", fontsize=10)


def variance(axes: Any, numbers: Numbers) -> None:
    """Draw relative variances of every problem, and sampled over exact variances."""
    names = list(numbers["variance"])
    base = np.array(numbers["variance"][names[0]])
    for place, name in enumerate(names):
        ratio = np.array(numbers["variance"][name]) / base
        axes[0].plot(ratio, place + np.linspace(-0.25, 0.25, len(ratio)), ".", color=COLOURS[0], alpha=0.5)
        axes[0].plot(np.median(ratio), place, "|", color=COLOURS[1], markersize=22, markeredgewidth=2.5)
    axes[0].set(xscale="log", yticks=range(len(names)), yticklabels=names)
    axes[0].invert_yaxis()
    axes[0].set_title("variance, relative to the whole return\n(dots: problems, bar: median)", loc="left")
    for place, name in enumerate(names):
        x, y = numbers["variance"][name][0], numbers["sampled"][name]["variance"]
        axes[1].plot(x, y, "so^Dv*"[place % 6], color=COLOURS[place % 6], label=name)
    axes[1].axline((1, 1), (2, 2), color=INK, linewidth=0.8)
    axes[1].set(xscale="log", yscale="log", xlabel="by enumeration", ylabel="by sampled batches")
    axes[1].set_title("variance in the first problem", loc="left")
    axes[1].legend(frameon=False, fontsize=8)


def certainty_equivalence(axes: Any, numbers: Numbers) -> None:
    """Draw distances to the model's and to the true value over the transitions."""
    size = [row["transitions"] for row in numbers["rows"]]
    panels = (
        ("distance to the value of the estimated model", "td_to_model", "monte_carlo_to_model"),
        ("distance to the true value", "td_error", "monte_carlo_error"),
    )
    for axis, (title, *keys) in zip(axes, panels, strict=True):
        for colour, key, label in zip(COLOURS, keys, ("batch TD", "Monte Carlo"), strict=False):
            values = np.maximum([row[key]["values"] for row in numbers["rows"]], SMALLEST)
            axis.plot(size, np.median(values, axis=1), "o-", color=colour, label=label)
            axis.fill_between(size, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.15, linewidth=0)
        axis.set(xscale="log", yscale="log", xlabel="transitions")
        axis.set_title(title, loc="left")
        axis.legend(frameon=False, fontsize=8)


def stochastic_needed(axes: Any, numbers: Numbers) -> None:
    """Draw what opponents win, and returns in the aliased gridworld over P(east)."""
    game, grid = numbers["game"], numbers["gridworld"]
    bars = {
        "soft\nself-play": game["soft"]["values"],
        "greedy\nself-play": game["greedy"]["values"],
        "the cycle": [game["cycle"]],
    }
    axes[0].bar(range(3), [np.median(each) for each in bars.values()], color=[COLOURS[0], COLOURS[1], COLOURS[4]])
    for place, values in enumerate(bars.values()):
        axes[0].plot(np.full(len(values), place), values, ".", color=INK)
    axes[0].set(xticks=range(3), xticklabels=list(bars), ylabel="points per round")
    axes[0].set_title("rock, paper, scissors: won by an\nopponent who remembers a round", loc="left")
    axes[1].plot(grid["chance"], grid["stochastic"], color=COLOURS[0], label="stochastic")
    lines = (
        (grid["optimum_of_states"], "-", INK, "optimum if states were observed"),
        (grid["deterministic"][0], "--", COLOURS[1], "best of 256 deterministic"),
        (grid["q_learning"]["median"], ":", COLOURS[4], "Q-learning on observations, median"),
    )
    for height, line, colour, label in lines:
        axes[1].axhline(height, linestyle=line, color=colour, label=label)
    axes[1].set(xlabel="P(east) where cells look alike", ylabel="return")
    axes[1].set_title("aliased gridworld", loc="left")
    axes[1].legend(frameon=False, fontsize=8)


def entropy_collapse(axes: Any, numbers: Numbers) -> None:
    """Draw entropy and return along the ascent, and shares that reach the optimum."""
    rows = numbers["rows"]
    for place, row in enumerate(rows[::2] if len(rows) > 4 else rows):
        label = "without entropy" if row["temperature"] == 0 else f"α from {row['temperature']:g}"
        for axis, key in zip(axes, ("entropy", "returns"), strict=False):
            line = "--" if place == 1 else "-"  # the first two may coincide
            axis.plot(numbers["steps"], row[key]["median"], line, color=COLOURS[place], label=label)
            band = row[key]["low"], row[key]["high"]
            axis.fill_between(numbers["steps"], *band, color=COLOURS[place], alpha=0.12, linewidth=0)
    axes[0].set_title("entropy, nats (median, middle half)", loc="left")
    axes[0].legend(frameon=False, fontsize=8)
    axes[1].axhline(numbers["optimum"], color=INK, linewidth=0.8, linestyle=":")
    axes[1].set_title("return (dotted: the optimum)", loc="left")
    for axis in axes[:2]:
        axis.set_xlabel("steps along the exact gradient")
    axes[2].bar(range(len(rows)), [row["reached"] for row in rows], color=[COLOURS[1], *[COLOURS[0]] * (len(rows) - 1)])
    axes[2].set(xticks=range(len(rows)), xticklabels=[f"{row['temperature']:g}" for row in rows], ylim=(0, 1))
    axes[2].set_xlabel("temperature at the start")
    axes[2].set_title("share of starts that reach the optimum", loc="left")


def multigoal(axes: Any, numbers: Numbers) -> None:
    """Draw paths of the first seed of both agents, and every seed's shares."""
    for axis, name, colour, offset in (
        (axes[0], "soft", COLOURS[0], -0.2),
        (axes[1], "deterministic", COLOURS[1], 0.2),
    ):
        result = numbers[name]
        for path in np.array(result["paths"], float):
            axis.plot(path[:, 0], path[:, 1], color=colour, linewidth=0.7, alpha=0.4)
        for x, y in numbers["goals"]:
            angle = np.linspace(0, 2 * np.pi, 60)
            axis.fill(x + np.cos(angle), y + np.sin(angle), color=COLOURS[2], alpha=0.25, linewidth=0)
        axis.set(xlim=(-7, 7), ylim=(-7, 7), aspect="equal")
        axis.set_title(f"{result['agent']}: a hundred episodes of seed 0", loc="left")
        shares = np.sort(result["shares"], axis=1)[:, ::-1]
        place = np.arange(4) + offset
        axes[2].bar(place, np.median(shares, axis=0), width=0.38, color=colour, label=result["agent"])
        for seed in shares:
            axes[2].plot(place, seed, ".", color=INK, markersize=4)
    axes[2].set(xticks=range(4), xticklabels=["most visited", "second", "third", "least"], ylim=(0, 1.02))
    axes[2].set_title("share of rollouts that end in a goal\n(bar: median seed, dots: seeds)", loc="left")
    axes[2].legend(frameon=False, fontsize=8)


def run_to_run(axes: Any, numbers: Numbers) -> None:
    """Draw the visits of every run of each agent, and the distances of all pairs."""
    for axis, kind, colours in ((axes[0], "soft", "Blues"), (axes[1], "deterministic", "Reds")):
        visits = np.array(numbers[kind]["visits"])
        side, columns = visits.shape[1] + 1, int(np.ceil(np.sqrt(len(visits))))
        tiles = np.full((side * -(-len(visits) // columns), side * columns), np.nan)
        for seed, each in enumerate(visits):
            row, column = seed // columns * side, seed % columns * side
            tiles[row : row + side - 1, column : column + side - 1] = np.sqrt(each.T)
        axis.imshow(tiles, origin="lower", cmap=colours, aspect="equal")
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"{numbers[kind]['agent']}: visits of every seed, from above", loc="left", fontsize=10)
    for place, (kind, colour) in enumerate((("soft", COLOURS[0]), ("deterministic", COLOURS[1]))):
        distances, noise = np.array(numbers["distances"][kind]), np.array(numbers[kind]["noise"])
        spread = np.linspace(-0.15, 0.15, len(distances))
        axes[2].plot(place + spread, distances, "o", color=colour, markersize=4, label=f"{numbers[kind]['agent']}")
        axes[2].plot(np.full(len(noise), place), noise, "x", color=INK, label="halves of one run" if place else None)
    axes[2].set(xticks=[0, 1], xticklabels=["soft", "deterministic"], xlim=(-0.5, 1.5), ylim=(0, 1.02))
    axes[2].set_title("total variation of the visits of two seeds", loc="left", fontsize=10)
    axes[2].legend(frameon=False, fontsize=8)


FIGURES: dict[str, tuple[int, Callable[[Any, Numbers], None]]] = {
    "temperature-limit": (3, temperature_limit),
    "ties": (2, ties),
    "delayed-choice": (DELAYED_CHOICE_PANELS, delayed_choice),
    "lq-optimism": (OPTIMISM_PANELS, lq_optimism),
    "motor-variability": (MOTOR_PANELS, motor_variability),
    "lucky-demonstrations": (LUCKY_PANELS, lucky_demonstrations),
    "policy-gradient-is-soft-q": (3, policy_gradient_is_soft_q),
    "variance": (2, variance),
    "certainty-equivalence": (2, certainty_equivalence),
    "stochastic-needed": (2, stochastic_needed),
    "entropy-collapse": (3, entropy_collapse),
    "sampled-collapse": (COLLAPSE_PANELS, sampled_collapse),
    "multigoal": (3, multigoal),
    "run-to-run": (3, run_to_run),
    "gaits": (GAIT_PANELS, gaits),
    "any-direction": (3, any_direction),
    "fine-tuning": (3, fine_tuning),
    "two-passages": (8, two_passages),
    "robustness": (ROBUSTNESS_PANELS, robustness),
    "reward-robustness": (4, reward_robustness),
    "stacking": (STACKING_PANELS, stacking),
    "composition": (3, composition),
    "exact-composition": (EXACT_COMPOSITION_PANELS, exact_composition),
    "z-learning": (Z_LEARNING_PANELS, z_learning),
    "learned-regulator": (LEARNED_PANELS, learned_regulator),
    "performance": (PERFORMANCE_PANELS, performance),
}
"""By study, the number of panels of its figure and the function that draws them."""

FILMS: dict[str, Callable[[Numbers, Path], bool]] = {
    "any-direction": write_direction_film,
    "gaits": write_gait_film,
    "two-passages": write_film,
    "stacking": write_stacking_film,
}
"""By study, the function that writes film.mp4 and its poster film.png into a directory."""
