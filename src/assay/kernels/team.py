"""Runs a compiled function on the threads that PyTorch computes with.

A second pool of threads would fight with PyTorch's for the cores: its workers wait by spinning. So the function is
handed to the OpenMP runtime that PyTorch has loaded, which calls it once on each of its threads.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numba
import torch
from numba import types

from assay.kernels.simd import call_item, fetch_add

NUM_ARGS = 32
"""Largest number of a kernel's arguments, the seven that every kernel has included."""

_Args = ctypes.c_int64 * NUM_ARGS

_OPTIONS = {"boundscheck": False, "error_model": "numpy", "nopython": True}
"""Options of compilation. No exceptions, so that no thread needs the interpreter: what is compiled allocates nothing
either."""

_ADDRESS = types.CPointer(types.int64)
_ITEM = types.void(_ADDRESS, types.int64, types.int64)

_cfunc: Any = numba.cfunc
_jit: Any = numba.jit

compiled: Any = _jit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)
"""Decorator of a function that items call."""


class Kernel:
    """A parallel loop over items 0 .. n-1, on all threads.

    Args:
        item: a function that numba compiles, of the address of int64 arguments, the number of an item, and the address
            of space that no other thread uses meanwhile. The arguments of a call begin at 7; addresses are among them.
            What one item computes must not depend on another's.
    """

    def __init__(self, item: Any) -> None:
        parallel = find_parallel()
        assert parallel is not None, "asked for by `available`"
        self._item, self._parallel = _cfunc(_ITEM, **_OPTIONS)(item), parallel

    def __call__(self, num_items: int, at_once: int, *args: int, space: int = 0) -> None:
        """Returns once all items are done.

        Args:
            at_once: items that a thread takes, then asks again.
            args: the item's arguments.
            space: float32 numbers that each thread has for itself.
        """
        num_threads = torch.get_num_threads()
        spaces = torch.empty(num_threads * space, dtype=torch.float32, device="cpu")
        # The first two count items and threads.
        all_args = _Args(0, 0, at_once, num_items, self._item.address, spaces.data_ptr(), space * 4, *args)
        self._parallel(_task().address, all_args, num_threads, 0)


@functools.cache
def _task() -> Any:
    """Return the loop that each thread runs; one for all kernels, so that none is compiled into it."""

    @_cfunc(types.void(_ADDRESS), **_OPTIONS)
    def task(args: Any) -> None:
        at_once, num_items = args[2], args[3]
        space = args[5] + fetch_add(args, 1, 1) * args[6]
        while True:
            start = fetch_add(args, 0, at_once)
            if start >= num_items:
                break
            for number in range(start, min(start + at_once, num_items)):
                call_item(args[4], args, number, space)

    return task


@functools.cache
def find_parallel() -> Callable[[int, Any, int, int], None] | None:
    """GOMP_parallel(function, data, threads, flags) of the runtime that PyTorch uses: GNU's, or another with its
    interface; None where there is none, as on macOS."""
    for name in ("libgomp.so.1", None):
        try:
            function = ctypes.CDLL(name).GOMP_parallel
        except (OSError, AttributeError, TypeError):
            continue
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        function.restype = None
        return function
    return None
