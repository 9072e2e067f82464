"""Every error Andon raises on purpose, in one tree that survives pickling.

Supervision decides by type, never by message, and each error is also the standard exception a
stranger would have caught:

    AndonError
    ├── UserError               what a person gave is wrong; names thing and mend
    │   ├── ConfigError         (ValueError)         an unknown or mistyped key, a bad value
    │   ├── InputError          (ValueError)         a model, prompt or label file in disguise
    │   │   ├── SchemaMismatch                       a ledger or export that a newer version wrote
    │   │   └── NothingToAsk                         responses that people cannot compare
    │   ├── MissingError        (FileNotFoundError)  a path that is not there
    │   └── ResourceError       (OSError)            a port in use, no memory, no disk
    │       └── DiskFull                             no room, a quota or a limit on files: 507
    ├── LabelError              an answer to a labeler; carries the HTTP status it becomes
    │   ├── Unauthenticated     401
    │   ├── Forbidden           (PermissionError)    403
    │   ├── UnknownTask         (LookupError)        404
    │   ├── LabelConflict       409
    │   ├── BodyTooSlow         (TimeoutError)       408
    │   ├── BodyTooLarge        413
    │   ├── BodyEncoded         415
    │   ├── Misdirected         421
    │   ├── InvalidLabel        (ValueError)         422
    │   └── TooFast             429
    ├── TransientError          may be tried again with the same arguments
    │   ├── ScoringFailed       (TimeoutError)       no score came; never stands for zero
    │   └── SwapTimedOut        (TimeoutError)       a reward version is not served everywhere yet
    ├── PartFailed              a process of the run fell away, or did not come up; names which
    │   ├── ActorDied           (RuntimeError)       a Ray actor's process
    │   │   └── StartFailed                          what it raised while it was made, in words
    │   ├── EngineDied          (RuntimeError)       a rollout actor's vLLM engine core
    │   ├── DeploymentFailed    (RuntimeError)       a Serve application did not start
    │   ├── SwapFailed          (RuntimeError)       a reward replica broke as it took a version in
    │   ├── LabelerFailed       (RuntimeError)       a simulated labeler ended with an error
    │   ├── LabelerDied         (RuntimeError)       a simulated labeler was killed by a signal
    │   ├── TooManyRestarts     (RuntimeError)       a part that dies whenever it is started again
    │   ├── MemoryShort         (MemoryError)        a part had not the memory it needs
    │   ├── WeightsNotTaken     (TimeoutError)       actors did not take weights that were pushed
    │   └── WeightsGone         (LookupError)        the newest weights went with their learner
    ├── PromptsExhausted        (EOFError)           a prompt source came to its end
    ├── LoopStarved             (TimeoutError)       a loop waits for a part that gives nothing
    ├── QueueClosed             (RuntimeError)       the label queue was closed: the run is over
    └── IntegrityError          something that must hold does not; the line stops
        ├── ProbeMismatch       (RuntimeError)       the engine's weights are others
        ├── BundleCorrupt       (ValueError)         a digest that does not match
        ├── VersionError        (RuntimeError)       a version went backward or came twice
        ├── NotFinite           (ArithmeticError)    NaN or infinity in a loss, score or gradient
        └── LoopEnded           (RuntimeError)       a loop ended before the run did
"""

from __future__ import annotations


class AndonError(Exception):
    """Root of the tree. All arguments are positional strings or numbers, so that pickling works."""


class UserError(AndonError):
    """A mistake the user can mend; shown as one line, without a traceback."""


class ConfigError(UserError, ValueError):
    """An unknown, missing or mistyped config key, or a value out of range."""


class InputError(UserError, ValueError):
    """A model, prompt or label file that is empty or not what it says it is."""


class SchemaMismatch(InputError):
    """A ledger or an export whose form is newer than any this version of Andon reads."""


class NothingToAsk(InputError):
    """Order after order brought nothing that people could compare.

    Arguments: what was found; what a user may change.
    """

    @property
    def found(self) -> str:
        """What is wrong."""
        return str(self.args[0])

    def __str__(self) -> str:
        """Return both in one line."""
        return ": ".join(str(part) for part in self.args)


class MissingError(UserError, FileNotFoundError):
    """A path or hub id that does not exist."""

    def __str__(self) -> str:
        """Return the message alone: OSError would print its errno tuple."""
        return " ".join(str(part) for part in self.args)


class ResourceError(UserError, OSError):
    """A port in use, no memory for a cache, no disk, no network."""

    def __str__(self) -> str:
        """Return the message alone: OSError would print its errno tuple."""
        return " ".join(str(part) for part in self.args)


class DiskFull(ResourceError):
    """A disk without room, a quota that is used up, or a limit on the size of files."""


class LabelError(AndonError):
    """An answer to a labeler or a labelling tool. `status` is the HTTP status it becomes.

    Arguments: the message; then, where one is at fault, the field, e.g. "spans.0.end".
    """

    status = 400

    @property
    def message(self) -> str:
        """What is wrong and what to do about it."""
        return str(self.args[0])

    @property
    def field(self) -> str | None:
        """The field at fault, or None."""
        return self.args[1] if len(self.args) > 1 and isinstance(self.args[1], str) else None


class Unauthenticated(LabelError):
    """No token, or one that is wrong, expired or revoked."""

    status = 401


class Forbidden(LabelError, PermissionError):
    """The token is good, but this is somebody else's."""

    status = 403


class UnknownTask(LabelError, LookupError):
    """No such query or assignment in this run."""

    status = 404


class LabelConflict(LabelError):
    """The idempotency key was used before with another body."""

    status = 409


class BodyTooLarge(LabelError):
    """The body is over the limit for one label or one batch."""

    status = 413


class BodyTooSlow(LabelError, TimeoutError):
    """The body did not come within the time for one."""

    status = 408


class BodyEncoded(LabelError):
    """The body is compressed, or encoded in another way that is not undone here."""

    status = 415


class Misdirected(LabelError):
    """The request was sent to an address that is not this run's, or came by another way."""

    status = 421


class InvalidLabel(LabelError, ValueError):
    """A field is unknown, missing, of the wrong type or out of range. Names the field."""

    status = 422


class TooFast(LabelError):
    """More requests than the rate limit allows; the HTTP answer carries Retry-After.

    Arguments: the message and the seconds to wait.
    """

    status = 429


class TransientError(AndonError):
    """May be tried again with the same arguments."""


class ScoringFailed(TransientError, TimeoutError):
    """The reward service gave no score. Retried with jitter, then the rollout is dropped."""


class SwapTimedOut(TransientError, TimeoutError):
    """Not every replica serves a reward version yet. The announcement stands; ask again."""


class PartFailed(AndonError):
    """A process of the run fell away or did not come up. The message says which."""


class ActorDied(PartFailed, RuntimeError):
    """The process of a Ray actor is gone: killed, out of memory, or its node is."""


class StartFailed(ActorDied):
    """The constructor of a Ray actor raised, and would again. Its words are in the message."""


class EngineDied(PartFailed, RuntimeError):
    """The vLLM engine core of a rollout actor is gone; the actor itself still answers."""


class DeploymentFailed(PartFailed, RuntimeError):
    """A Serve application did not start."""


class SwapFailed(PartFailed, RuntimeError):
    """A reward replica could not take in a version, for a cause that no other error names."""


class LabelerFailed(PartFailed, RuntimeError):
    """The process of a simulated labeler ended with an error."""


class LabelerDied(PartFailed, RuntimeError):
    """A signal ended the process of a simulated labeler, which said nothing of its own."""


class TooManyRestarts(PartFailed, RuntimeError):
    """A part was started again as often as it may be, and died each time. Says of what."""


class MemoryShort(PartFailed, MemoryError):
    """A part did not get the memory it needs, of the machine or of its GPU."""


class WeightsNotTaken(PartFailed, TimeoutError):
    """Rollout actors did not take pushed weights in time; nothing can be pushed after that."""


class WeightsGone(PartFailed, LookupError):
    """The newest policy version's weights are not there: a learner keeps those while it lives."""


class PromptsExhausted(AndonError, EOFError):
    """A prompt source, which must be endless, gave fewer prompts than it was asked for."""


class LoopStarved(AndonError, TimeoutError):
    """A loop has long waited for a part of the run that gives nothing. Says which."""


class QueueClosed(AndonError, RuntimeError):
    """The label queue was closed, as it is at the end of a run: whoever waits there stops."""


class IntegrityError(AndonError):
    """Something that must hold does not. Never retried: the line stops."""


class ProbeMismatch(IntegrityError, RuntimeError):
    """After a weight load, the engine's log-probabilities differ from the learner's."""


class BundleCorrupt(IntegrityError, ValueError):
    """Bytes on disk or from the network do not match their digest."""


class VersionError(IntegrityError, RuntimeError):
    """A version went backward, was skipped, or was written twice."""


class NotFinite(IntegrityError, ArithmeticError):
    """NaN or infinity where only a finite number may be."""


class LoopEnded(IntegrityError, RuntimeError):
    """A loop of the controller ended before the run was over."""
