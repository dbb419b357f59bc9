"""Measure the time of encoder updates and of image environments' steps.

    python benchmarks/images.py

Updates are gradient steps of an encoder in one compiled loop, by entrax's convolution and by XLA's own, in milliseconds
of the clock and of the processor. Steps are in milliseconds of processor time. Writes results/images.json.
"""

import argparse
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from harness import save, say

from entrax.environments.source import EnvSource
from entrax.nets.encoder import Convolution, Encoder
from entrax.spec import Image

CASES = {"128 images of 64×64×3": (Image(64, 64, 3, 255.0), 128), "32 images of 84×84×4": (Image(84, 84, 4, 255.0), 32)}
ENVIRONMENTS = {"Atari": ("entrax/Atari-v0", {"game": "Pong"}), "reaching": ("entrax/ReacherPixels-v0", {})}


class XlaConvolution(eqx.Module):
    """The same convolution by XLA's own operation."""

    convolution: Convolution

    def __call__(self, x: jax.Array) -> jax.Array:
        layer, stride = self.convolution, self.convolution.stride
        places, filters = len(layer.weight), layer.weight.shape[-1]
        kernel = layer.weight.reshape(places, places, stride, stride, -1, filters)
        kernel = kernel.transpose(0, 2, 1, 3, 4, 5).reshape(places * stride, places * stride, -1, filters)
        size = [side // stride * stride for side in x.shape[:2]]
        batch = x[None, : size[0], : size[1]].astype(kernel.dtype)
        numbers = ("NHWC", "HWIO", "NHWC")
        out = jax.lax.conv_general_dilated(batch, kernel, (stride, stride), "VALID", dimension_numbers=numbers)
        return out[0] + layer.bias


def with_xla(encoder: Encoder) -> Encoder:
    """Replace the convolutions of an encoder by XLA's.

    The first one is written as its weight and bias.
    """
    layers = tuple(map(XlaConvolution, encoder.convolutions))
    return eqx.tree_at(lambda e: e.convolutions, encoder, layers)


def apply(encoder: Any, image: Image, obs: jax.Array) -> jax.Array:
    """The features of one flat image."""
    x = obs.reshape(image.shape).astype(jnp.float32) / image.greatest - 0.5
    for layer in encoder.convolutions:
        x = jax.nn.relu(layer(x))
    return x.ravel()


def update_time(encoder: Any, image: Image, batch: int, updates: int) -> dict[str, float]:
    """Return the milliseconds of one gradient step, by clock and processor.

    One call before compiles.
    """
    obs = jnp.asarray(np.random.default_rng(0).integers(0, 256, (batch, int(np.prod(image.shape)))), jnp.uint8)
    arrays, static = eqx.partition(encoder, eqx.is_array)

    def loss(arrays: Any) -> jax.Array:
        return jnp.mean(jax.vmap(lambda row: apply(eqx.combine(arrays, static), image, row))(obs) ** 2)

    def step(arrays: Any, _: None) -> tuple[Any, None]:
        slope = jax.grad(loss)(arrays)
        return jax.tree.map(lambda x, g: x - 1e-3 * g, arrays, slope), None

    loop = jax.jit(lambda arrays: jax.lax.scan(step, arrays, None, length=updates)[0])
    jax.block_until_ready(loop(arrays))
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(loop(arrays))
    return {
        "wall": 1e3 * (time.perf_counter() - wall) / updates,
        "processor": 1e3 * (time.process_time() - cpu) / updates,
    }


def step_time(name: str, kwargs: dict[str, Any], steps: int) -> float:
    """Return the milliseconds of processor time of one random step with resets."""
    env = EnvSource(name, kwargs).make()
    env.action_space.seed(0)
    env.reset(seed=0)
    begun = time.process_time()
    for _ in range(steps):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    spent = time.process_time() - begun
    env.close()
    return 1e3 * spent / steps


def main() -> None:
    """Measure all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"updates": {}, "steps": {}}
    for case, (image, batch) in CASES.items():
        ours = Encoder(image, jr.key(0))
        forms = {"entrax": ours, "xla": with_xla(ours)}
        results["updates"][case] = {
            form: update_time(encoder, image, batch, arguments.updates) for form, encoder in forms.items()
        }
        for form, times in results["updates"][case].items():
            say(f"{case}, {form}: {times['wall']:.0f} ms, processor {times['processor']:.0f} ms")
    for name, (env, kwargs) in ENVIRONMENTS.items():
        try:
            results["steps"][name] = step_time(env, kwargs, arguments.steps)
        except Exception as error:
            say(f"{name}: not measured, {error}")
            continue
        say(f"a step of {name}: {results['steps'][name]:.2f} ms of processor time")
    say(f"Written: {save('images', {'settings': vars(arguments)} | results)}")


if __name__ == "__main__":
    main()
