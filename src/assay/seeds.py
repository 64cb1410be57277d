"""The seed rule: where every random number of a run comes from.

A run has one seed. Everything random derives its own 64-bit seed from it and from what it is for, so that no draw
depends on the order in which things happen:

    request seed   = derive_seed(run_seed, "request", group_index, member_index, turn_index)
    u(seed, t)     = (mix(seed + (t + 1) * GOLDEN) >> 11) / 2**53, for sampled token t = 0, 1, 2, ...
    sampled token  = the first token whose cumulative probability, in vocabulary order, exceeds u(seed, t)

`derive_seed` is the first eight bytes, little-endian, of SHA-256 over the parts joined with "/".
mix is the output function of splitmix64: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators",
doi:10.1145/2660193.2660195.
"""

from __future__ import annotations

import hashlib

import numpy as np

_MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def derive_seed(*parts: int | str) -> int:
    """A 64-bit seed for what the parts name.

    Example:
        >>> derive_seed(0, "request", 3, 1, 0) == derive_seed(0, "request", 3, 1, 0)
        True
        >>> derive_seed(0, "request", 3, 1, 0) == derive_seed(0, "request", 3, 10)
        False
    """
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "little")


def uniform(seed: int, position: int) -> float:
    """u(seed, t) in [0, 1): the number that chooses sampled token `position` of the request with this seed."""
    z = (seed + (position + 1) * GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((z ^ (z >> 31)) >> 11) * 2.0**-53


def uniforms(seeds_B: np.ndarray, positions_B: np.ndarray) -> np.ndarray:
    """`uniform` for a batch: [B] uint64 seeds and positions to [B] float64 in [0, 1)."""
    with np.errstate(over="ignore"):
        z = seeds_B.astype(np.uint64) + (positions_B.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
