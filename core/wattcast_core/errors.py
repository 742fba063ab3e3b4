"""The one exception tree; every error tells an operator the place and the remedy.

WattcastError                 exit 1  something failed
├── ConfigError               exit 2  usage or configuration: file, key, suggestion
├── Refused                   exit 3  an explained refusal: nothing was done
├── Unreachable               exit 4  a device or peer does not answer (transient: try again)
│   └── LoginRefused          exit 3  it answers, but not to these credentials or this version
├── StoreUnavailable          exit 4  the database is away or its disk full (transient)
├── MissingExtraError         exit 5  an optional part is not installed
└── DataError                 exit 1  a reading, message or file that cannot be trusted
    └── ForeignDevice         exit 3  a device of another family than asked for, or of none known
"""


class WattcastError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class ConfigError(WattcastError):
    """Wrong usage or configuration; the text names file, key and remedy."""

    exit_code = 2


class Refused(WattcastError):  # noqa: N818 - an outcome's name: "the command was refused"
    """Deliberately not done; the text says why."""

    exit_code = 3


class Unreachable(WattcastError):  # noqa: N818 - a state's name: "the device is unreachable"
    """A device or peer does not answer; trying again later may help."""

    exit_code = 4


class LoginRefused(Unreachable):
    """A device answers, but refuses the credentials, the protocol's version or the session."""

    exit_code = 3


class StoreUnavailable(WattcastError):  # noqa: N818 - a state's name: "the store is unavailable"
    """The signature database cannot take or give rows now; trying again later may help.

    No kind of ``Unreachable``: what is decided needs no database, and goes on without it.
    """

    exit_code = 4


class MissingExtraError(WattcastError):
    """An optional dependency is absent."""

    exit_code = 5

    def __init__(self, module: str, extra: str) -> None:
        self.module = module
        self.extra = extra
        super().__init__(f"{module} is not installed; remedy: pip install 'wattcast[{extra}]'")


class DataError(WattcastError):
    """Data that cannot be trusted: corrupt model, wrong shape, undecodable message."""


class ForeignDevice(DataError):  # noqa: N818 - what it is, like Refused
    """A device that does not fit the profile, or that no profile fits; the text says what it is."""

    exit_code = 3
