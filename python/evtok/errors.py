"""The errors that evtok raises, one class for each kind of remedy.

Every message says which argument, file, row or branch is at fault, what was expected, what came, and what to do.
Errors about values are also `ValueError`, so that code written for NumPy catches them.
"""

from __future__ import annotations


class EvtokError(Exception):
    """The base of every error that evtok defines."""


class InvalidEventsError(EvtokError, ValueError):
    """Events whose structure or values cannot be used: hostile offsets, NaN, an unknown object type."""


class InputFileError(EvtokError, ValueError):
    """A file that cannot be read as events: truncated, corrupt, or of a format that is not supported."""


class SchemaError(EvtokError, ValueError):
    """A schema that is malformed, or that does not describe the file it is used on."""


class ArtefactError(EvtokError, ValueError):
    """A tokenizer, codebook or model folder that is corrupt, hostile, or of another version."""


class EqualCodesWarning(UserWarning):
    """A codebook in which some codes are equal."""


class FingerprintError(ArtefactError):
    """Tokens and tokenizer that do not belong together."""


class ShardError(EvtokError, ValueError):
    """A token shard that is missing, truncated or altered, or a job folder that does not add up."""


class JobError(EvtokError, RuntimeError):
    """A job that could not finish; what it had recorded stays valid."""


class MissingBackendError(EvtokError, ImportError):
    """An optional package that the call needs is not installed."""
