# type: ignore  what crosses has no types that a checker could know, and all of it is checked when it is read
"""Inside a space: what a program and its test share where one process runs both, kept the same on both ends.

The working folder, the environment and the random state cross with every question and answer, as far as they changed;
a test that never names them pays nothing. What is printed, logged and warned of goes from the program to the test.

Runs on Python 3.9 and newer, with the standard library only; the functions that a test may patch are held here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import random
import stat
import sys
import warnings
from typing import Any

MAX_FILE_BYTES = 16 << 20
MAX_FILES = 2000
_scandir, _open, _read, _write, _close = os.scandir, os.open, os.read, os.write, os.close
_lstat, _makedirs, _unlink, _rmdir, _getcwd, _chdir = os.lstat, os.makedirs, os.unlink, os.rmdir, os.getcwd, os.chdir
_rmtree = __import__("shutil").rmtree
_getstate, _setstate = random.getstate, random.setstate
_showwarning = warnings.warn_explicit


class SharedState:
    """The knowledge that one end has of what both share.

    Args:
        kinds: which of "files", "environ", "random" and "numpy" are kept the same.
    """

    def __init__(self, kinds):
        self.kinds = frozenset(kinds)
        self.folder = _getcwd()
        self.seen = self._scan() if "files" in self.kinds else {}
        self.environ = dict(os.environ)
        self.random = _getstate() if "random" in self.kinds else None
        self.numpy = None
        self.cwd = self.folder

    def changes(self) -> Any:
        """Return what has changed since the last look, as plain values."""
        found = {}
        if "environ" in self.kinds:
            now = dict(os.environ)
            if now != self.environ:
                found["environ"] = [
                    {key: value for key, value in now.items() if self.environ.get(key) != value},
                    [key for key in self.environ if key not in now],
                ]
                self.environ = now
        if "files" in self.kinds:
            files = self._changed_files()
            if files:
                found["files"] = files
            cwd = self._cwd()
            if cwd != self.cwd:
                found["cwd"] = self.cwd = cwd
        if "random" in self.kinds:
            now = _getstate()
            if now != self.random:
                found["random"], self.random = [now[0], list(now[1]), now[2]], now
        if "numpy" in self.kinds and "numpy" in sys.modules:
            name, keys, *rest = sys.modules["numpy"].random.get_state()
            now = [name, keys.tolist(), *rest]
            if now != self.numpy:
                found["numpy"] = self.numpy = now
        return found

    def apply(self, changes):
        """Makes the changes of the other end."""
        if "environ" in changes:
            changed, removed = changes["environ"]
            os.environ.update(changed)
            for key in removed:
                os.environ.pop(key, None)
            self.environ = dict(os.environ)
        for name, mode, content in changes.get("files", ()):
            self._put(name, mode, content)
        if "cwd" in changes:
            _chdir(os.path.join(self.folder, changes["cwd"]) if changes["cwd"] else self.folder)
            self.cwd = self._cwd()
        if "random" in changes:
            version, keys, gauss = changes["random"]
            self.random = (version, tuple(keys), gauss)
            _setstate(self.random)
        if "numpy" in changes and "numpy" in sys.modules:
            self.numpy = changes["numpy"]
            sys.modules["numpy"].random.set_state(tuple(self.numpy))

    def _cwd(self):
        try:
            return _getcwd()
        except OSError:
            return self.folder

    def _scan(self):
        """Return the content of the folder: path to (mode, size, time)."""
        found, waiting = {}, [self.folder]
        while waiting:
            folder = waiting.pop()
            try:
                with _scandir(folder) as entries:
                    listed = list(entries)
            except OSError:
                continue
            for entry in listed:
                about = _lstat(entry.path)
                name = entry.path[len(self.folder) + 1 :]
                if stat.S_ISDIR(about.st_mode):
                    found[name] = (about.st_mode, 0, 0)
                    waiting.append(entry.path)
                elif stat.S_ISREG(about.st_mode):
                    found[name] = (about.st_mode, about.st_size, about.st_mtime_ns)
                if len(found) > MAX_FILES:
                    return found
        return found

    def _changed_files(self):
        now, budget = self._scan(), MAX_FILE_BYTES
        changed = []
        for name, about in sorted(now.items()):
            if self.seen.get(name) == about:
                continue
            content = None
            if stat.S_ISREG(about[0]):
                budget -= about[1]
                content = _content(os.path.join(self.folder, name)) if budget >= 0 else None
                if content is None:
                    continue
            changed.append([name, about[0] & 0o777, content])
        changed += [[name, -1, None] for name in sorted(self.seen, reverse=True) if name not in now]
        self.seen = now
        return changed

    def _put(self, name, mode, content):
        path = os.path.normpath(os.path.join(self.folder, name))
        if not path.startswith(self.folder + os.sep):
            return
        try:
            if mode < 0:
                about = _lstat(path)
                _rmtree(path, ignore_errors=True) if stat.S_ISDIR(about.st_mode) else _unlink(path)
                self.seen.pop(name, None)
                return
            if content is None:
                _makedirs(path, exist_ok=True)
            else:
                _makedirs(os.path.dirname(path), exist_ok=True)
                with contextlib.suppress(OSError):
                    _unlink(path)
                descriptor = _open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode or 0o600)
                try:
                    left = memoryview(content)
                    while left:
                        left = left[_write(descriptor, left) :]
                finally:
                    _close(descriptor)
            about = _lstat(path)
        except OSError:
            return
        self.seen[name] = (
            (about.st_mode, 0, 0) if content is None else (about.st_mode, about.st_size, about.st_mtime_ns)
        )


def _content(path):
    try:
        descriptor = _open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    parts = []
    try:
        while part := _read(descriptor, 1 << 20):
            parts.append(part)
    finally:
        _close(descriptor)
    return b"".join(parts)


class Sayings(logging.Handler):
    """On the program's end: what it prints, logs and warns of while it answers a question.

    Args:
        kinds: which of "stdout", "stderr", "logging" and "warnings" the test listens to.
    """

    def __init__(self, kinds):
        super().__init__(logging.NOTSET)
        self.kinds = frozenset(kinds)
        self.streams, self.records, self.warned = {}, [], []

    def begin(self, levels):
        """Listens, with the levels of loggers that the test changed."""
        for name in ("stdout", "stderr"):
            if name in self.kinds:
                self.streams[name] = (getattr(sys, name), io.StringIO())
                setattr(sys, name, self.streams[name][1])
        if "logging" in self.kinds:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            logging.getLogger().addHandler(self)
        if "warnings" in self.kinds:
            self.catcher = warnings.catch_warnings(record=True)
            self.warned = self.catcher.__enter__()
            warnings.simplefilter("always")

    def end(self) -> Any:
        """Return what was said, as plain values."""
        said = self.take()
        for name, (stream, mine) in self.streams.items():
            if getattr(sys, name, None) is mine:
                setattr(sys, name, stream)
        self.streams = {}
        if "logging" in self.kinds:
            logging.getLogger().removeHandler(self)
        if "warnings" in self.kinds:
            self.catcher.__exit__(None, None, None)
        return said

    def take(self) -> Any:
        """Return what was said since the last look."""
        said = {}
        for name, (_, mine) in self.streams.items():
            text = mine.getvalue()
            if text:
                said[name] = text
                mine.seek(0)
                mine.truncate()
        if self.records:
            said["records"], self.records = self.records, []
        if self.warned:
            said["warnings"] = [
                [[base.__name__ for base in each.category.__mro__], str(each.message)] for each in self.warned
            ]
            self.warned.clear()
        return said

    def emit(self, record):
        try:
            self.records.append([record.name, record.levelno, record.getMessage(), record.funcName, record.lineno])
        except Exception:
            self.records.append([record.name, record.levelno, str(record.msg), "", 0])


def repeat(said):
    """On the test's end: says again what the program said."""
    for name in ("stdout", "stderr"):
        if name in said:
            getattr(sys, name).write(said[name])
    for name, level, text, function, line in said.get("records", ()):
        logger = logging.getLogger(name)
        logger.handle(logger.makeRecord(name, level, "main.py", line, text, (), None, function))
    for names, text in said.get("warnings", ()):
        category = next((kind for kind in map(_warning, names) if kind is not None), UserWarning)
        warnings.warn(text, category, stacklevel=4)


def _warning(name):
    import builtins

    kind = getattr(builtins, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, Warning) else None


def levels(known):
    """The levels of loggers that changed since they were `known`, which is brought up to date."""
    now = {"": logging.getLogger().level}
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            now[name] = logger.level
    changed = {name: level for name, level in now.items() if known.get(name, 0) != level}
    known.update(now)
    return changed
