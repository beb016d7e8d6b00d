"""The one exception that means "what you gave cannot be used", as opposed to "this program is broken"."""

from __future__ import annotations


class InputError(Exception):
    """Data or configuration that cannot be used.

    The message says what is wrong, where, what was got, and what to do; the command line prints it without a
    traceback and exits with 2.
    """
