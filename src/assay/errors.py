"""Every error Assay raises on purpose, and the one place where failures are classified.

    AssayError                    a person can act on it: the message names the value and the remedy
    |-- ConfigError               a setting that is unknown, out of range, or without effect
    |-- DataError                 a task, split or gold answer that cannot be used
    |-- ModelError                a model folder, tokenizer or download that cannot be used
    |-- ContextLengthError        a prompt longer than the model's context
    |-- RunFolderError            a run folder that exists, is missing, or does not match
    |   `-- CheckpointError       a checkpoint that could not be written or read
    |-- TrainingStoppedError      too many skipped updates in a row
    |-- SandboxUnavailableError   this host cannot isolate programs, or lacks a tool that they need
    |-- EndpointError             a server that refuses, that keeps failing, or that would cost more than was allowed
    |-- ClusterError              a cluster that does not answer, or lacks what was asked for
    |   |-- RankError             a rank of the learner died, hung or never came
    |   `-- PublishError          new weights that did not arrive at an engine as they are
    |-- ContractError             an implementation that breaks its protocol (from the check_* functions)
    `-- InfrastructureError       something outside the model's response failed; retried, never scored as 0
        |-- EngineError           the engine could not sample
        |   `-- UnansweredError   a request to an endpoint, tried again by its client already
        |-- WorldError            an environment failed: it raised, hung, or gave what is no message
        |-- ToolBrokenError       a tool failed for a cause outside the call
        |-- AdapterError          the worker of somebody else's environment went away, or broke its protocol
        |-- SandboxError          the sandbox failed, not the program in it
        `-- VerifierError         the verifier itself failed: it raised, or returned a value that is not finite

Exceptions of other libraries are not wrapped unless a person can do something about them.
"""

from __future__ import annotations

import enum
import errno
import os
from typing import ClassVar, Literal, get_args


class AssayError(Exception):
    """Base of every error that Assay raises on purpose."""


class ConfigError(AssayError):
    """A setting that is unknown, out of range, or without effect."""


class DataError(AssayError):
    """A task, split or gold answer that cannot be used."""


class ModelError(AssayError):
    """A model folder, tokenizer or download that cannot be used."""


class ContextLengthError(AssayError):
    """A prompt that, with the tokens to sample, is longer than the model's context."""


class RunFolderError(AssayError):
    """A run folder that exists already, is missing, or does not match the request."""


class CheckpointError(RunFolderError):
    """A checkpoint that could not be written or read."""


class TrainingStoppedError(AssayError):
    """Training ended because too many updates in a row were skipped."""


class EndpointError(AssayError):
    """A server that refuses, that keeps failing, or that would cost more than was allowed. What it answered is kept."""


class SandboxUnavailableError(AssayError):
    """Raised where this host cannot run untrusted programs as asked: no isolation, or a tool that is not installed."""


class ClusterError(AssayError):
    """A cluster that does not answer, or lacks what was asked for."""


class RankError(ClusterError):
    """Raised where a rank of the learner died, hung or never came: the steps since the newest checkpoint are lost."""


class PublishError(ClusterError):
    """Raised where new weights did not arrive at an engine as they are. Names the tensor where one is to blame."""


class ContractError(AssayError):
    """An implementation that breaks its protocol."""


Boundary = Literal["environment", "tool", "adapter", "server", "sandbox", "engine", "verifier"]
"""The boundary that a failure outside the response crossed: what is to be looked at."""
BOUNDARIES: tuple[Boundary, ...] = get_args(Boundary)


class InfrastructureError(AssayError):
    """Raised where something outside the model's response failed: retried, then counted as not measured."""

    boundary: ClassVar[Boundary] = "environment"


class EngineError(InfrastructureError):
    """The engine could not sample."""

    boundary = "engine"


class UnansweredError(EngineError):
    """A request to an endpoint failed for good. Its client has tried again: whoever asked need not."""

    boundary = "server"


class WorldError(InfrastructureError):
    """Raised where an environment failed: it raised, hung, or gave something that is no message."""


class ToolBrokenError(InfrastructureError):
    """Raised where a tool failed for a cause outside the call. What a call itself can cause is an observation."""

    boundary = "tool"


class AdapterError(InfrastructureError):
    """Raised where the worker of somebody else's environment went away, or broke its protocol."""

    boundary = "adapter"


class SandboxError(InfrastructureError):
    """Raised where the sandbox failed, not the program in it."""

    boundary = "sandbox"


class VerifierError(InfrastructureError):
    """The verifier itself failed: it raised, or returned a value that is not finite."""

    boundary = "verifier"


def boundary_of(error: BaseException, otherwise: Boundary) -> Boundary:
    """Return the boundary that a failure crossed: its own where it states one, else that of whoever was asked."""
    return error.boundary if isinstance(error, InfrastructureError) else otherwise


_PLACES = {
    errno.ENOSPC: "free some room there, or choose another place",
    errno.EDQUOT: "free some room there, or choose another place",
    errno.EACCES: "choose a place that you may use, or change its permissions",
    errno.EPERM: "choose a place that you may use, or change its permissions",
    errno.EROFS: "choose a place that can be written",
    errno.ENOTDIR: "a part of this path is a file: choose another place, or move that file away",
    errno.EEXIST: "choose another place, or move away what is there",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOENT: "name one that exists",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a link there leads to itself: name another place",
    errno.EFBIG: "choose another place: the file is larger than files may become there",
}
"""Remedies for a file or a folder that cannot be used, by error number."""


def explain_place(error: OSError) -> str | None:
    """Return what a person can do about a file or folder that cannot be read or written; None where it is something
    else."""
    if error.errno not in _PLACES or (error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT)):
        return None
    # A rename names both: where it was to go is what can be chosen.
    place = error.filename2 or error.filename or "a file"
    return f"{os.fsdecode(place)}: {error.strerror}; {_PLACES[error.errno]}"


class FailureKind(enum.Enum):
    """Kinds of failure during a rollout or its scoring: what each means for the step."""

    INFRASTRUCTURE = "infrastructure"
    """A failure outside the response: retry, then NOT_MEASURED. Never a reward of 0."""
    USER = "user"
    """A person must act (bad configuration, data or model): stop the run and say so."""
    OUT_OF_MEMORY = "out_of_memory"
    """The device ran out of memory: skip the update, count it."""


def classify(error: BaseException) -> FailureKind:
    """Says what a failure means. The only place where this is decided.

    Errors that are nobody's fault in particular (an environment that raised, a connection that broke) count as
    infrastructure. One bad rollout never ends a step, and is never scored as 0.
    """
    if is_out_of_memory(error):
        return FailureKind.OUT_OF_MEMORY
    if isinstance(error, AssayError) and not isinstance(error, InfrastructureError):
        return FailureKind.USER
    return FailureKind.INFRASTRUCTURE


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error is an exhausted device: CPU allocators raise RuntimeError, CUDA a class of its own."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
