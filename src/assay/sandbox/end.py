"""Inside a warm interpreter: the end of each program is the interpreter's own, less what nobody sees of it.

At its end an interpreter waits for threads, calls what was registered, flushes the streams, stops daemon threads,
collects garbage, takes the modules down, collects and flushes again, and then frees itself piece by piece. All of that
is left to it, up to the modules. Of these it would take down every one that was loaded before there was a program, and
with itself that costs more than most programs do: so here only the program's own are, and then the process ends.

That takes the exit code, which no Python code is told. Where it is not certain, the interpreter goes on alone.
Runs on Python 3.9 and newer, with the standard library only.
"""

from __future__ import annotations

import _io
import atexit
import builtins
import contextlib
import ctypes
import gc
import os
import sys
import weakref

_COUNT_AT = 2 * ctypes.sizeof(ctypes.c_ssize_t)
"""The offset of a dictionary's number of items, behind what every object has."""
_OTHERS = ("__main__", "builtins", "sys", "site", "sitecustomize")
_STREAMS = (("stdin", "__stdin__"), ("stdout", "__stdout__"), ("stderr", "__stderr__"))


def shorten(main_file, flush_all, kept):
    """Prepares the end of all programs that begin from here.

    Args:
        main_file: the path of the program.
        flush_all: flushes what C code has buffered; takes None.
        kept: what no program has a use for, and need not take the time to free.
    """
    end = _End(main_file, flush_all, kept)
    # Called after all that a program registers.
    atexit.register(end.note)
    # The last of its variables that `sys` loses before the modules are taken down.
    sys.__interactivehook__ = _Hook(getattr(sys, "__interactivehook__", None), end.finish)


class _Hook:
    """Acts when the interpreter lets go of it. To whoever else looks, what was in its place."""

    def __init__(self, replaced, act):
        self.replaced, self.act = replaced, act

    def __call__(self):
        return self.replaced()

    def __del__(self):
        self.act()


class _End:
    """The end of one program. By then the variables of modules may be gone: it holds all that it uses.

    To look at an object is to write to its page, and to have that copied: it looks at what is new alone.
    """

    def __init__(self, main_file, flush_all, kept):
        self.main_file = main_file
        self.leave, self.collect, self.flush_all = os._exit, gc.collect, flush_all
        self.reference, self.module_type, self.stream_type = weakref.ref, type(sys), _io.TextIOWrapper
        self.suppressed = contextlib.suppress(BaseException)
        self.modules, self.system, self.builtins = sys.modules, sys.__dict__, builtins.__dict__
        self.system["__interactivehook__"] = None
        self.last = [_last(names) for names in (self.modules, self.system, self.builtins)]
        modules = [module for module in self.modules.values() if type(module) is self.module_type]
        modules = [module for module in modules if module.__name__ not in _OTHERS]
        self.variables = [(vars(module), _last(vars(module))) for module in modules]
        # Read where the dictionaries have it: none of them is looked at.
        self.counts = [ctypes.c_ssize_t.from_address(id(names) + _COUNT_AT) for names, _ in self.variables]
        self.counts_before = [count.value for count in self.counts]
        # In a circle of its own, which nobody looks at once it is frozen: never freed.
        circle = [kept, modules]
        circle.append(circle)
        self.say = sys.unraisablehook
        self.refusals, self.interrupt = (SyntaxError, IndentationError, TabError), KeyboardInterrupt
        self.main_code = (main_file, "<module>")
        # Loaded for programs that never load it, whose streams it would flush: called where one has made a handler.
        self.logging = self.modules.get("logging")
        if self.logging is not None:
            atexit.unregister(self.logging.shutdown)
        # The exit code; None where it is not certain.
        self.code = None

    def note(self):
        """Looks, before the streams are flushed, how the program came to its end."""
        if self.logging is not None and len(self.logging._handlerList) > 1:
            self.logging.shutdown()
        main = getattr(self.modules.get("__main__"), "__dict__", None)
        # An interpreter takes this away once its main file is done, not on the way to `sys.exit`.
        if main is not None and "__file__" not in main:
            with self.suppressed:
                self.code = self.exit_code(main)
        if self.code is not None:
            self.say, self.system["unraisablehook"] = self.system["unraisablehook"], self.doubt

    def exit_code(self, main):
        """0, or 1 where the last exception that was printed is the main file's own; None where that is another's, or
        an interrupt, which becomes a signal."""
        if "last_type" not in self.system:
            return 0
        kind, error, trace = (self.system[f"last_{name}"] for name in ("type", "value", "traceback"))
        if trace is None:
            is_own = kind in self.refusals and error.filename == self.main_file
        else:
            code = trace.tb_frame.f_code
            is_own = trace.tb_frame.f_globals is main and (code.co_filename, code.co_name) == self.main_code
        return 1 if is_own and not issubclass(kind, self.interrupt) else None

    def doubt(self, unraisable):
        """An error that is passed over. It may be that of a stream that could not be flushed: then the code is 120."""
        self.code = None
        self.say(unraisable)

    def finish(self):
        """Takes down the modules of the program, as an interpreter does with all, and ends the process."""
        system, errors = self.system, self.system["stderr"]
        if self.code is None or type(errors) is not self.stream_type:
            return
        try:
            if not errors.closed:
                errors.flush()
        except BaseException:
            return
        for name, original in _STREAMS:
            system[name] = system[original]
        left = [self.removed(name) for name in ("__main__", *self.new(self.modules, self.last[0]))]
        changed = [number for number, count in enumerate(self.counts) if count.value != self.counts_before[number]]
        for names, last in ((self.builtins, self.last[2]), *(self.variables[number] for number in changed)):
            self.empty(names, self.new(names, last))
        self.collect()
        for reference in left:
            module = reference and reference()
            if module is not None:
                self.clear(vars(module))
        module = None
        for name in ("stdout", "stderr"):
            stream, system[name], system[f"__{name}__"] = system[name], None, None
            # One that is closed or detached has nothing to flush.
            with self.suppressed:
                stream.flush()
        self.empty(system, self.new(system, self.last[1]))
        self.collect()
        self.flush_all(None)
        self.leave(self.code)

    def removed(self, name):
        """A reference to a module that is none any more; None for what is no module."""
        module = self.modules.pop(name, None)
        return self.reference(module) if isinstance(module, self.module_type) else None

    def new(self, names, last):
        """The names that were added."""
        new = []
        for name in reversed(names):
            if name == last:
                break
            new.append(name)
        return new[::-1]

    def clear(self, variables):
        """Sets the variables of a module to None, those of one underscore first."""
        names = [name for name in variables if name != "__builtins__"]
        private = [name for name in names if name[:1] == "_" != name[1:2]]
        self.empty(variables, private)
        self.empty(variables, names)

    def empty(self, variables, names):
        for name in names:
            variables[name] = None


def _last(names):
    return next(reversed(names), None)
