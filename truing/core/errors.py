"""The errors that a user may meet: one clear sentence each, mapped to an exit code by the command line."""


class TruingError(Exception):
    """Base of every error whose message is meant for the user. `exit_code` is what the command line returns."""

    exit_code = 3


class InputError(TruingError):
    """The input or the configuration is wrong: nothing was changed. The message says what, where, and what to do."""

    exit_code = 2


class RunError(TruingError):
    """A run failed midway: what was finished is kept, and the same command resumes it."""

    exit_code = 3
