"""What if Redis does not answer, or refuses? Wait, try again, or say so without a password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flownb.errors import QueueError, QueueUnavailable
from flownb.redaction import redacted, scrub

# A full disk, too few replicas, a script that runs and runs.
_FOR_NOW = ("MISCONF ", "NOREPLICAS ", "BUSY ")
# What EXEC says of a MULTI whose commands were taken before the trouble began.
_DISCARDED = "Transaction discarded because of: "
_SINCE_THEN = (*_FOR_NOW, "OOM ", "READONLY ", "MASTERDOWN ", "CLUSTERDOWN ")


def is_away(error: BaseException) -> bool:
    """Whether the server did not answer, or cannot just now: later it may."""
    from redis import exceptions

    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError):
        return False
    away = exceptions.ConnectionError | exceptions.TimeoutError | OSError
    return isinstance(error, away) or refuses_for_now(error)


def refuses_for_now(error: BaseException) -> bool:
    """Whether the server is there and takes no writes until somebody has helped it."""
    from redis import exceptions

    kinds = exceptions.ReadOnlyError | exceptions.OutOfMemoryError
    # a cluster that moves slots, or has lost a node
    kinds |= exceptions.ClusterDownError | exceptions.TryAgainError | exceptions.MasterDownError
    if type(error) is exceptions.AskError or isinstance(error, kinds):
        return True
    words = _words(error)
    return words.startswith(_FOR_NOW) or words.partition(_DISCARDED)[2].startswith(_SINCE_THEN)


def located(where: str, error: BaseException) -> str:
    """Say where a server is that is away, and what it says if it is there after all."""
    return f"{where}, which says: {_words(error)}" if refuses_for_now(error) else where


def _words(error: BaseException) -> str:
    """The server's own words; redis-py puts before them which command of a pipeline it was."""
    return redacted(str(error).rpartition("of pipeline caused error: ")[2].strip("(),'\""))


def _way(error: BaseException) -> str:
    """Name the kind of a failed connection, with what the server or TLS said of it."""
    below, name = error.__cause__ or error.__context__, type(error).__name__
    is_said = str(error) and (below is None or "SSL" in type(below).__name__)
    return f"{name}: {_words(error)}" if is_said else name


@contextmanager
def clear_errors(subject: str, where: str) -> Iterator[None]:
    """Say which server does not answer or refuses, and what to do about it."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise cleared(error, subject, where) from error


def cleared(error: Exception, subject: str, where: str) -> QueueError:
    """The error to raise for one of Redis, or of the way to it; no password is in either."""
    scrub(error)
    if refuses_for_now(error):
        return QueueUnavailable(
            f"{subject}: {where} takes no writes just now: {_words(error)} "
            f"Give it memory, disk or its role back, or another one in redis="
        )
    if is_away(error):
        return QueueUnavailable(
            f"{subject}: no usable Redis at {where} ({_way(error)}): start it there, "
            f"correct redis=, or omit it to use the one inside this kernel"
        )
    return QueueError(f"{subject}: {where} refused: {redacted(error)}")
