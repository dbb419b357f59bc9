"""What agents that learn from images share; for vectors all of it does nothing."""

from typing import Any

import jax.random as jr
from jaxtyping import Array, Num, PRNGKeyArray, PyTree, Scalar, UInt8

from entrax.errors import require
from entrax.nets import Encoded, shifted
from entrax.spec import Progress, Spec, Transition


class EncodedPolicy(Encoded):
    """A policy, `head`, over what an encoder makes of an image. Satisfies the `Policy` protocol."""

    def initial_carry(self) -> PyTree:
        return self.head.initial_carry()

    def act(
        self, carry: PyTree, obs: UInt8[Array, " obs"], progress: Progress, key: PRNGKeyArray | None, greedy: bool
    ) -> tuple[Num[Array, " action"], PyTree, dict[str, Scalar]]:
        return self.head.act(carry, self.encoder(obs), progress, key, greedy)


def check_augment(pixels: int, spec: Spec) -> None:
    """Raises EntraxError for an `augment` where no image is observed."""
    require(pixels == 0 or spec.image is not None, "augment", "0 where no image is observed", pixels)


def check_features(features: int | str | None, spec: Spec) -> None:
    """Raises EntraxError for `features` where no image is observed."""
    require(features is None or spec.image is not None, "features", "left out where no image is observed", features)


def encoded_size(critics: Any, spec: Spec) -> int:
    """Entries of what a policy on the encoder of its critics takes."""
    return critics.encoder.size if isinstance(critics, Encoded) else spec.obs_size


def with_encoder(policy: Any, critics: Any) -> Any:
    """The policy on the encoder of its critics. A gradient in the policy alone leaves the encoder as it is."""
    return EncodedPolicy(encoder=critics.encoder, head=policy) if isinstance(critics, Encoded) else policy


def augmented(batch: Transition, network: Any, pixels: int, key: PRNGKeyArray) -> Transition:
    """Shift each image of the batch at random by up to some pixels, `obs` and `next_obs` independently."""
    if pixels == 0:
        return batch
    image, (obs_key, next_obs_key) = network.encoder.image, jr.split(key)
    return batch._replace(
        obs=shifted(image, batch.obs, pixels, obs_key), next_obs=shifted(image, batch.next_obs, pixels, next_obs_key)
    )
