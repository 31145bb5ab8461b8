"""The errors that end a command, and the exit status of each.

The statuses are those of sysexits.h, which Python has as `os.EX_*`. A configuration error is final: trying again
changes nothing. A broker that cannot be reached may answer later.
"""

import os

EX_FAILURE = 1  # a failed probe; celery.platforms has it too, but a probe must not import Celery


class FleetError(Exception):
    """Base of the errors that end a command: one line on standard error, no traceback."""

    exit_status: int


class ConfigurationError(FleetError):
    """This image cannot run what was asked for."""

    exit_status = os.EX_CONFIG


class BrokerUnreachableError(FleetError):
    """The broker did not answer within the time allowed."""

    exit_status = os.EX_UNAVAILABLE
