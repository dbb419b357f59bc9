"""Encoders of images, against XLA's own convolution, and what they leave alone."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.nets import Encoder, on_observations, shifted
from entrax.nets.encoder import Convolution, Layer, feature_points
from entrax.nets.mlp import normalise_layer
from entrax.spec import Discrete, Image, Leaf, Spec


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 1, 10), (8, 4, 21), (4, 2, 9)])
def test_convolution_is_that_of_xla(kernel, stride, side):
    layer = Convolution(2, Layer(5, kernel, stride), jr.key(0))
    x = np.random.default_rng(0).integers(0, 256, (side, side + 3, 2)).astype(np.uint8)
    places = kernel // stride
    weight = layer.weight.reshape(places, places, stride, stride, 2, 5).transpose(0, 2, 1, 3, 4, 5)
    expected = jax.lax.conv_general_dilated(
        jnp.asarray(x, jnp.float32)[None],
        weight.reshape(kernel, kernel, 2, 5),
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )[0]
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("side", "size"), [(10, 8 * 8 * 16), (64, 6 * 6 * 32), (84, 7 * 7 * 64)])
def test_encoders_have_the_published_sizes(side, size):
    encoder = Encoder(Image(side, side, 4, 255.0), jr.key(0))
    assert encoder.size == size
    assert jax.eval_shape(encoder, jax.ShapeDtypeStruct((side * side * 4,), jnp.uint8)).shape == (size,)


def test_feature_points_are_the_mean_places_of_the_response():
    x = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    x[:, :, 2] = -50.0
    x[1, 4, 2] = 0.0  # the third filter responds at one place
    points = np.asarray(feature_points(jnp.asarray(x)))
    weight = np.exp(x) / np.exp(x).sum((0, 1))
    rows, columns = np.linspace(-1, 1, 4), np.linspace(-1, 1, 6)
    expected = [np.einsum("ijf,i->f", weight, rows), np.einsum("ijf,j->f", weight, columns)]
    np.testing.assert_allclose(points, np.concatenate(expected), atol=1e-6)
    np.testing.assert_allclose(points[[2, 5]], [rows[1], columns[4]], atol=1e-6)


@pytest.mark.parametrize(("features", "size"), [(None, 6 * 6 * 32), (50, 50), ("points", 2 * 32)])
def test_what_comes_out_of_an_encoder(features, size):
    image = Image(64, 64, 9, 255.0)
    encoder, obs = Encoder(image, jr.key(0), features), np.random.default_rng(0).integers(0, 256, 64 * 64 * 9)
    out = np.asarray(encoder(jnp.asarray(obs, jnp.uint8)))
    assert out.shape == (encoder.size,) == (size,)
    if features == 50:
        flat = Encoder(image, jr.key(0))(jnp.asarray(obs, jnp.uint8))
        assert encoder.projection is not None
        np.testing.assert_allclose(out, jnp.tanh(normalise_layer(encoder.projection(flat))), atol=1e-4)
    if features == "points":
        first, second = encoder.convolutions
        responses = second(jax.nn.relu(first(jnp.asarray(obs.reshape(64, 64, 9) / 255 - 0.5))))
        assert responses.shape == (13, 13, 32)
        np.testing.assert_allclose(out, feature_points(responses), atol=1e-4)


def test_booleans_count_as_they_are_and_levels_from_the_middle_of_their_range():
    rng = np.random.default_rng(0)
    for greatest, middle in ((1.0, 0.0), (255.0, 0.5)):
        encoder, obs = Encoder(Image(10, 10, 4, greatest), jr.key(0)), rng.integers(0, int(greatest) + 1, 400)
        convolved = encoder.convolutions[0](jnp.asarray(obs / greatest - middle, jnp.float32).reshape(10, 10, 4))
        found = encoder(jnp.asarray(obs, jnp.uint8))
        np.testing.assert_allclose(found, jax.nn.relu(convolved).ravel(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("side", "features"), [(3, None), (3, 50), (6, "points")])
def test_an_image_too_small_is_refused(side, features):
    encoder = Encoder(Image(side, side + 1, 4, 255.0), jr.key(0), features)
    images = np.random.default_rng(0).integers(0, 256, (2, side * (side + 1) * 4)).astype(np.uint8)
    first, second = jax.vmap(encoder)(jnp.asarray(images))
    assert (first != second).any()
    with pytest.raises(EntraxError, match=f"{side - 1}×{side} is too small: it must be at least {side}×{side}"):
        Encoder(Image(side - 1, side, 4, 255.0), jr.key(0), features)


def test_shifts_repeat_the_border_and_differ():
    image = Image(6, 6, 1, 255.0)
    obs = np.arange(36, dtype=np.uint8)[None].repeat(50, 0)
    out = np.asarray(shifted(image, jnp.asarray(obs), 2, jr.key(0))).reshape(50, 6, 6)
    padded = np.pad(obs[0].reshape(6, 6), 2, mode="edge")
    allowed = {padded[i : i + 6, j : j + 6].tobytes() for i in range(5) for j in range(5)}
    seen = {picture.tobytes() for picture in out}
    assert seen <= allowed
    assert len(seen) > 15  # 21.7 of 25 are expected


def test_a_vector_is_taken_as_it_is():
    spec = Spec((Leaf("observation", (3,), "float32", 3, (0.0,) * 3, (1.0,) * 3),), Discrete(2))
    assert on_observations(spec, lambda size, key: (size, key), jr.key(0))[0] == 3
