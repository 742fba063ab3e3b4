"""What a provider of prices and carbon intensity is."""

from datetime import UTC, datetime
from typing import Protocol

from wattcast_coordinator.economy.values import Values
from wattcast_core.errors import DataError
from wattcast_core.units import epoch_s


class PriceCarbon(Protocol):
    """Prices, carbon intensities or available powers of one place."""

    async def fetch(self, begin: datetime, end: datetime) -> Values:
        """What is known of a time span: the past as it was, the future as published or forecast.

        Raises:
            Unreachable: the provider does not answer, or not now.
            DataError: the answer cannot be understood.
            ConfigError: it refuses the zone or the token.
            MissingExtraError: an optional library is absent.
        """


def parsed_s(text: str, place: str) -> float:
    """Epoch seconds of an ISO time; UTC where it has no offset.

    Raises:
        DataError: it is no time.
    """
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise DataError(f"{place}: '{text}' is no ISO time") from error
    return epoch_s(at if at.tzinfo else at.replace(tzinfo=UTC))
