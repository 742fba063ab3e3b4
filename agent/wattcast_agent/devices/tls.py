"""TLS to devices, as the rack file or a URL says."""

import ssl

from wattcast_configs.rack import Tls
from wattcast_core.errors import ConfigError


def tls_context(tls: Tls, place: str) -> ssl.SSLContext:
    """A client's settings.

    Raises:
        ConfigError: a file is not there or is no certificate or key.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key or None)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, (tls.ca, tls.cert, tls.key)))
        raise ConfigError(f"{place}: certificates {files}: {error}") from error
    if not tls.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
