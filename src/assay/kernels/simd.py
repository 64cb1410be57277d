"""Vectors of float32 in numba's compiled functions: LLVM makes of each operation what the processor has.

Numba compiles scalar loops, and LLVM does not find its way from loops over bf16 to good vector code. Here an operation
on `lanes` numbers is one instruction of LLVM's own language, which it splits into registers of any processor.

Addresses are int64. A vector loaded from bf16 has the numbers at even places first, then those at odd places: two of
them share 32 bits, and each half becomes a float32 by one operation. Every function here keeps or undoes that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.datamodel import models

intrinsic: Any = extending.intrinsic
"""A function that generates LLVM's code; its first parameter, numba's typing context, is not given in a call."""

REGISTER = 16
"""Lanes that a sum over lanes is folded into first; fixed, so that every processor adds in the same order."""

EXPONENTS = (-87.0, 88.0)
"""e^x beyond is no normal float32 number."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_HIGH = 0xFFFF0000


class Vector(types.Type):
    """`lanes` numbers of float32."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Vector({lanes})")


@extending.register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _floats(vector.lanes))


def _floats(lanes: int) -> ir.VectorType:
    return ir.VectorType(ir.FloatType(), lanes)


def _ints(lanes: int) -> ir.VectorType:
    return ir.VectorType(_I32, lanes)


def _same(vector: ir.VectorType, value: float) -> ir.Constant:
    number = float(np.float32(value)) if isinstance(vector.element, ir.FloatType) else value
    return ir.Constant(vector, [number] * vector.count)


def _pick(builder: Any, x: Any, lanes: Sequence[int], other: Any = None) -> Any:
    """Lanes of x, or of x and another after it."""
    other = ir.Constant(x.type, ir.Undefined) if other is None else other
    return builder.shuffle_vector(x, other, ir.Constant(_ints(len(lanes)), list(lanes)))


def _halves(builder: Any, x: Any) -> tuple[Any, Any]:
    half = x.type.count // 2
    return _pick(builder, x, range(half)), _pick(builder, x, range(half, 2 * half))


def _llvm(builder: Any, name: str, *args: Any) -> Any:
    vector = args[0].type
    signature = ir.FunctionType(vector, [vector] * len(args))
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.{name}.v{vector.count}f32")
    return builder.call(function, args)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@intrinsic
def stay_apart(typing: Any) -> Any:
    """Mark a function, as its first statement, as never inlined into those that call it, so that it is optimized
    once."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def call_item(typing: Any, function: Any, args: Any, number: Any, space: Any) -> Any:
    """Calls the compiled function at an address: of a pointer to int64 numbers, and two int64 numbers."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [given[1].type, _I64, _I64])
        builder.call(builder.inttoptr(given[0], kind.as_pointer()), given[1:])
        return context.get_dummy_value()

    return types.void(types.int64, args, types.int64, types.int64), generate


@intrinsic
def fetch_add(typing: Any, numbers: Any, place: Any, amount: Any) -> Any:
    """The int64 at a place before `amount` was added to it, by one thread at a time."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", builder.gep(args[0], [args[1]]), args[2], "monotonic")

    return types.int64(numbers, types.int64, types.int64), generate


@intrinsic
def pointer(typing: Any, address: Any) -> Any:
    """An address for `numba.carray`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@intrinsic
def float64_of(typing: Any, bits: Any) -> Any:
    """The float64 number of these int64 bits."""
    return types.float64(types.int64), lambda context, builder, signature, args: builder.bitcast(
        args[0], ir.DoubleType()
    )


@intrinsic
def prefetch(typing: Any, address: Any) -> Any:
    """Asks for the cache line of an address that will be read soon; any address will do."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [place, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.inttoptr(args[0], place), _I32(0), _I32(2), _I32(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def number_at(typing: Any, address: Any) -> Any:
    """The float32 number there."""
    return types.float32(types.int64), lambda context, builder, signature, args: builder.load(
        builder.inttoptr(args[0], ir.FloatType().as_pointer()), align=4
    )


@intrinsic
def integer_at(typing: Any, address: Any) -> Any:
    """The int64 number there."""
    return types.int64(types.int64), lambda context, builder, signature, args: builder.load(
        builder.inttoptr(args[0], _I64.as_pointer()), align=8
    )


@intrinsic
def put_number(typing: Any, address: Any, number: Any) -> Any:
    """Stores a float32 number."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], ir.FloatType().as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), generate


@intrinsic(prefer_literal=True)
def load_bf16(typing: Any, address: Any, lanes: Any) -> Any:
    """`lanes` bf16 numbers, those at even places first; `lanes` is an even constant."""
    count = lanes.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = builder.load(builder.inttoptr(args[0], _ints(count // 2).as_pointer()), align=2)
        even = builder.shl(pairs, _same(pairs.type, 16))
        odd = builder.and_(pairs, _same(pairs.type, _HIGH))
        return builder.bitcast(_pick(builder, even, range(count), odd), _floats(count))

    return Vector(count)(types.int64, lanes), generate


@intrinsic
def store_bf16(typing: Any, address: Any, x: Any) -> Any:
    """Rounds to nearest, ties to even, and undoes the order of `load_bf16`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        even, odd = _halves(builder, _rounded(builder, args[1]))
        shifted = builder.lshr(even, _same(even.type, 16))
        pairs = builder.or_(shifted, odd)
        builder.store(pairs, builder.inttoptr(args[0], pairs.type.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.void(types.int64, x), generate


@intrinsic
def round_bf16(typing: Any, x: Any) -> Any:
    """Round to the nearest bf16 number, in float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(_rounded(builder, args[0]), args[0].type)

    return x(x), generate


def _rounded(builder: Any, x: Any) -> Any:
    """Bits of float32 with the low half zero."""
    kind = _ints(x.type.count)
    bits = builder.bitcast(x, kind)
    odd = builder.and_(builder.lshr(bits, _same(kind, 16)), _same(kind, 1))
    return builder.and_(builder.add(bits, builder.add(odd, _same(kind, 0x7FFF))), _same(kind, _HIGH))


@intrinsic(prefer_literal=True)
def load_f32(typing: Any, address: Any, lanes: Any) -> Any:
    """`lanes` float32 numbers in their own order."""
    count = lanes.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], _floats(count).as_pointer()), align=4)

    return Vector(count)(types.int64, lanes), generate


@intrinsic
def store_f32(typing: Any, address: Any, x: Any) -> Any:
    """Store the lanes in their own order."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], args[1].type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, x), generate


@intrinsic(prefer_literal=True)
def load_i32(typing: Any, address: Any, lanes: Any) -> Any:
    """`lanes` int32 numbers as float32, rounded to nearest, in their own order."""
    count = lanes.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers = builder.load(builder.inttoptr(args[0], _ints(count).as_pointer()), align=4)
        return builder.sitofp(numbers, _floats(count))

    return Vector(count)(types.int64, lanes), generate


@intrinsic
def store_i8(typing: Any, address: Any, x: Any) -> Any:
    """Store the lanes as int8, rounded to nearest, ties to even, in their own order; they are within [-128, 127]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        # 1.5 x 2^23 more, a float32 has whole steps, and its low bits are the integer.
        shifted = builder.fadd(args[1], _same(args[1].type, 1.5 * 2**23))
        kind = ir.VectorType(ir.IntType(8), shifted.type.count)
        integers = builder.trunc(builder.bitcast(shifted, _ints(shifted.type.count)), kind)
        builder.store(integers, builder.inttoptr(args[0], kind.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, x), generate


@intrinsic
def absolute(typing: Any, x: Any) -> Any:
    """Return each number without its sign."""
    return x(x), lambda context, builder, signature, args: _llvm(builder, "fabs", *args)


@intrinsic
def evens_first(typing: Any, x: Any) -> Any:
    """The order of `load_bf16`, for a vector in its own order."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count = args[0].type.count
        return _pick(builder, args[0], [*range(0, count, 2), *range(1, count, 2)])

    return x(x), generate


@intrinsic
def in_order(typing: Any, x: Any) -> Any:
    """Undo `evens_first`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        half = args[0].type.count // 2
        return _pick(builder, args[0], [place for i in range(half) for place in (i, half + i)])

    return x(x), generate


@intrinsic
def unchanged(typing: Any, x: Any) -> Any:
    """Return the numbers as they are."""
    return x(x), lambda context, builder, signature, args: args[0]


class Form(NamedTuple):
    """How the numbers of a dtype are read and written, so that kernels for several come from one source."""

    load: Any
    store: Any
    rounded: Any
    """Rounds float32 numbers to those of the dtype."""
    as_loaded: Any
    """Brings a vector in its own order into that of `load`, and `in_own_order` back."""
    in_own_order: Any
    size: int
    """Bytes of a number."""


FORMS = {
    torch.bfloat16: Form(load_bf16, store_bf16, round_bf16, evens_first, in_order, 2),
    torch.float32: Form(load_f32, store_f32, unchanged, unchanged, unchanged, 4),
}


@intrinsic(prefer_literal=True)
def splat(typing: Any, number: Any, lanes: Any) -> Any:
    """Return one float32 number in every lane."""
    count = lanes.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = builder.insert_element(ir.Constant(_floats(count), ir.Undefined), args[0], _I32(0))
        return _pick(builder, first, [0] * count)

    return Vector(count)(types.float32, lanes), generate


@intrinsic
def add(typing: Any, a: Any, b: Any) -> Any:
    return a(a, b), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def sub(typing: Any, a: Any, b: Any) -> Any:
    return a(a, b), lambda context, builder, signature, args: builder.fsub(*args)


@intrinsic
def mul(typing: Any, a: Any, b: Any) -> Any:
    return a(a, b), lambda context, builder, signature, args: builder.fmul(*args)


@intrinsic
def div(typing: Any, a: Any, b: Any) -> Any:
    return a(a, b), lambda context, builder, signature, args: builder.fdiv(*args)


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once."""
    return a(a, b, c), lambda context, builder, signature, args: _llvm(builder, "fma", *args)


@intrinsic
def maximum(typing: Any, a: Any, b: Any) -> Any:
    return a(a, b), lambda context, builder, signature, args: _larger(builder, *args)


@intrinsic
def exp(typing: Any, x: Any) -> Any:
    """e^x to 2 units in the last place or so; x is first brought within EXPONENTS; of NaN, NaN.

    2^n times a polynomial for 2^f with f in [-1/2, 1/2] (Taylor coefficients, degree 7).
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, whole_kind = args[0].type, _ints(args[0].type.count)
        bounded = _larger(builder, args[0], _same(kind, EXPONENTS[0]))
        most = _same(kind, EXPONENTS[1])
        bounded = builder.select(builder.fcmp_ordered("<", bounded, most), bounded, most)
        power = builder.fmul(bounded, _same(kind, 1 / np.log(2)))
        whole = _llvm(builder, "floor", builder.fadd(power, _same(kind, 0.5)))
        # x - n ln 2 in two steps, exact but for its last one: `power` itself has lost digits.
        rest = _llvm(builder, "fma", whole, _same(kind, -0.693145751953125), bounded)
        rest = _llvm(builder, "fma", whole, _same(kind, -1.42860677e-6), rest)
        result = _same(kind, 1 / 5040)
        for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
            result = _llvm(builder, "fma", result, rest, _same(kind, coefficient))
        biased = builder.add(builder.fptosi(whole, whole_kind), _same(whole_kind, 127))
        result = builder.fmul(result, builder.bitcast(builder.shl(biased, _same(whole_kind, 23)), kind))
        return builder.select(builder.fcmp_unordered("uno", args[0], args[0]), args[0], result)

    return x(x), generate


@intrinsic
def dot(typing: Any, a: Any, b: Any) -> Any:
    """Sum of products, float32; lanes are a multiple of REGISTER."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fold(builder, _products(builder, *args), builder.fadd)

    return types.float32(a, b), generate


@intrinsic
def dot_four(typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    """Sums of products of the first vector with each of four others, as `dot` gives them to the last bit: the lanes of
    all four are folded together."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first, second, third, fourth = (_products(builder, args[0], other) for other in args[1:])

        def fold(x: Any, y: Any, lanes: int) -> Any:
            """Fold each run of `lanes` in half; the runs of y come after those of x."""
            starts = range(0, x.type.count + (0 if y is None else y.type.count), lanes)
            lower = [start + place for start in starts for place in range(lanes // 2)]
            upper = [place + lanes // 2 for place in lower]
            return builder.fadd(_pick(builder, x, lower, y), _pick(builder, x, upper, y))

        folded = fold(fold(first, second, REGISTER), fold(third, fourth, REGISTER), REGISTER // 2)
        return fold(fold(folded, None, REGISTER // 4), None, REGISTER // 8)

    return Vector(4)(a, b, c, d, e), generate


def _products(builder: Any, a: Any, b: Any) -> Any:
    """REGISTER sums of products, over lanes that are so far apart."""
    products = None
    for start in range(0, a.type.count, REGISTER):
        x, y = (_pick(builder, each, range(start, start + REGISTER)) for each in (a, b))
        products = builder.fmul(x, y) if products is None else _llvm(builder, "fma", x, y, products)
    return products


@intrinsic
def total(typing: Any, x: Any) -> Any:
    """Sum over the lanes, a power of two of them."""
    return types.float32(x), lambda context, builder, signature, args: _fold(builder, args[0], builder.fadd)


@intrinsic
def largest(typing: Any, x: Any) -> Any:
    """Return the largest of the lanes; their number is a power of two."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fold(builder, args[0], lambda a, b: _larger(builder, a, b))

    return types.float32(x), generate


def _fold(builder: Any, x: Any, combine: Any) -> Any:
    while x.type.count > 1:
        x = combine(*_halves(builder, x))
    return builder.extract_element(x, _I32(0))
