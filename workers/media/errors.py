"""The one error that decoding media raises towards its callers."""

from __future__ import annotations


class MediaError(Exception):
    """Media that cannot be decoded further.

    The message is for a person and safe for the wire: it holds none of the media and no internals.
    """
