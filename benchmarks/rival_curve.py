"""Train and evaluate TD3 or DDPG of Stable-Baselines3.

Runs with the rivals' Python and prints one JSON line. Settings are the library's defaults with the Gaussian exploration
noise of 0.1 and the random first steps of its zoo.
"""

import argparse
import json
from typing import Any

import machine
from rival import limit_threads

FIRST_EVALUATION_SEED = 10_000


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", choices=["td3", "ddpg"], required=True)
    parser.add_argument("--env", default="HalfCheetah-v5")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--learning-starts", type=int, default=10_000, help="random first steps")
    parser.add_argument("--eval-every", type=int, default=5_000)
    parser.add_argument("--eval-episodes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def play(model: Any, env: Any, episodes: int) -> list[float]:
    """Return the returns of episodes without noise, on the same seeds every time."""
    returns = []
    for episode in range(episodes):
        obs, _ = env.reset(seed=FIRST_EVALUATION_SEED + episode)
        total, over = 0.0, False
        while not over:
            action, _ = model.predict(obs, deterministic=True)
            obs, reward, terminated, truncated, _ = env.step(action)
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    return returns


def main() -> None:
    """Train and evaluate."""
    arguments = parse()
    limit_threads(arguments.threads)
    import gymnasium
    import numpy as np
    from stable_baselines3 import DDPG, TD3
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.noise import NormalActionNoise

    env, evaluations = gymnasium.make(arguments.env), []
    size = env.action_space.shape[0]
    model = {"td3": TD3, "ddpg": DDPG}[arguments.agent](
        "MlpPolicy",
        gymnasium.make(arguments.env),
        learning_starts=arguments.learning_starts,
        action_noise=NormalActionNoise(np.zeros(size), 0.1 * np.ones(size)),
        seed=arguments.seed,
        device="cpu",
    )

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps % arguments.eval_every == 0:
                returns = play(model, env, arguments.eval_episodes)
                evaluations.append({"step": self.num_timesteps, "returns": returns})
            return True

    model.learn(arguments.steps, callback=Watch())
    record = {"library": "sb3", "evaluations": evaluations, "versions": machine.versions("stable-baselines3", "torch")}
    print(json.dumps(vars(arguments) | record))


if __name__ == "__main__":
    main()
