"""How the runtime ends: the statuses of sysexits.h, so that an orchestrator and a reader can tell the causes apart.

A configuration error is final (nothing changes by trying again); an unreachable broker is not.
"""

OK = 0
RED = 1  # a probe that found the process not alive, or not ready
USAGE = 64  # the command line is wrong
UNAVAILABLE = 69  # the broker did not answer in time
CONFIGURATION = 78  # a queue of another image, an unknown queue or application, a setting that breaks a law


class FleetError(Exception):
    """The one error that ends a command: its message is printed in one line, without a traceback."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ConfigurationError(FleetError):
    """What was asked for cannot be run by this image."""

    def __init__(self, message: str) -> None:
        super().__init__(message, CONFIGURATION)


class BrokerUnreachableError(FleetError):
    """The broker did not answer while we waited for it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, UNAVAILABLE)
