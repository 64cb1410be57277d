"""The codec of plain values: what survives, what may not cross, and that hostile bytes only ever raise."""

from __future__ import annotations

import math
import random
import struct
import time

import pytest

from assay.sandbox.values import MAX_DEPTH, NotPlainError, decode, encode

PLAIN = [
    None,
    True,
    False,
    0,
    -1,
    127,
    128,
    -129,
    2**63,
    -(2**63),
    10**5000,
    0.0,
    -0.0,
    1.5,
    math.inf,
    -math.inf,
    1 + 2j,
    "",
    "naïve",
    "\ud800",
    "\ud83d\ude00",
    "a\0b",
    b"",
    b"\xff\0",
    [],
    [1, 2, 3, 4, 5],
    [1, 2, 3, 2**70],
    [1.5, 2.5, 3.5, math.inf],
    [True, 1, 1.0, None],
    [True, True, True, True],
    (1, (2, [3, {4: 5}])),
    {"a": [1], (1, 2): {3}, None: frozenset({4, "x"})},
    {1, 2.5, "x"},
    set(),
    {},
]


def same(left, right) -> bool:
    """Equal in type as well, all the way down; repr tells 0.0 from -0.0 and 1 from True."""
    return type(left) is type(right) and repr(left) == repr(right)


@pytest.mark.parametrize("value", PLAIN, ids=range(len(PLAIN)))
def test_plain_values_survive(value):
    if type(value) is int:
        assert type(decode(encode(value))) is int
        assert decode(encode(value)) == value
    elif isinstance(value, (set, frozenset)):
        assert decode(encode(value)) == value
    else:
        assert same(decode(encode(value)), value)


def test_not_a_number_survives():
    assert math.isnan(decode(encode(math.nan)))


class MyInt(int): ...


class MyList(list): ...


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (MyInt(3), "MyInt"),
        (MyList([1]), "MyList"),
        (object(), "object"),
        ((i for i in []), "generator"),
        (len, "builtin"),
    ],
)
def test_other_types_do_not_cross(value, name):
    with pytest.raises(NotPlainError) as caught:
        encode([value])
    assert caught.value.type_name.startswith(name)


def test_a_list_of_one_subclass_does_not_cross_as_an_array():
    with pytest.raises(NotPlainError):
        encode([MyInt(1)] * 10)


def test_depth_and_size_are_bounded():
    nested: list = []
    for _ in range(MAX_DEPTH + 2):
        nested = [nested]
    with pytest.raises(NotPlainError, match="deeper"):
        encode(nested)
    doubled: list = [0]
    for _ in range(60):
        doubled = [doubled, doubled]
    with pytest.raises(NotPlainError, match="large"):
        encode(doubled, max_bytes=10_000)
    with pytest.raises(NotPlainError, match="deeper"):
        decode(b"l\x01\0\0\0" * 10_000 + b"N")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"?",
        b"NN",
        b"i\xff\xff\xff\xff\x01",
        b"l\xff\xff\xff\xff",
        b"d\x01\0\0\0N",
        b"s\x01\0\0\0\xff",
        b"I\xff\xff\xff\xff\0",
        b"f\0",
        b"e\x01\0\0\0l\0\0\0\0",
        b"d\x01\0\0\0e\0\0\0\0N",
    ],
)
def test_bytes_that_are_no_value_raise(data):
    with pytest.raises(NotPlainError):
        decode(data)


def test_noise_only_ever_raises_its_own_error():
    generator = random.Random(5)
    tags = b"NTFifcsbldtezID"
    for _ in range(5000):
        data = bytes(generator.choice(tags) if generator.random() < 0.5 else generator.randrange(4) for _ in range(40))
        try:
            decode(data)
        except NotPlainError:
            continue


def test_keys_made_to_collide_are_refused_at_once():
    modulus = 2**61 - 1
    items = b"".join(encode(number * modulus) + b"N" for number in range(20_000))
    start = time.process_time()
    with pytest.raises(NotPlainError, match="collide"):
        decode(b"d" + struct.pack("<I", 20_000) + items)
    assert time.process_time() - start < 2.0
    # Numbers that merely are many are not.
    assert len(decode(encode(dict.fromkeys(range(20000))))) == 20_000
