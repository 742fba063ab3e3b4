import pytest

from wattcast_configs.address import EXAMPLES, SCHEMES, parse_url
from wattcast_core.errors import ConfigError


@pytest.mark.parametrize("url", EXAMPLES)
def test_examples_are_addresses(url):
    where = parse_url(url)
    assert url.startswith(f"{where.scheme}://")
    assert (where.host == "host") == (where.scheme != "modbus-rtu")


def test_each_scheme_has_an_example():
    assert {url.partition("://")[0] for url in EXAMPLES} == set(SCHEMES)


def test_parts_of_a_url_are_told_apart_and_a_password_is_not_shown():
    where = parse_url("redfish://me:p%40ss@[::1]:8443/redfish/v1/Chassis/1?verify=no")
    assert (where.host, where.port, where.user, where.password) == ("::1", 8443, "me", "p@ss")
    assert str(where) == "redfish://[::1]:8443/redfish/v1/Chassis/1"
    assert "p@ss" not in repr(where)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("10.0.0.1", "write SCHEME://HOST"),
        ("snmpp://h", "did you mean 'snmp'"),
        ("snmp://:161", "host is missing"),
        ("snmp://h:99999", "Port out of range"),
        ("snmp://h?comunity=x", "did you mean 'community'"),
        ("snmp://h?community=", "'community' is empty"),
        ("snmp://h?community=a&community=b", "'community' stands twice"),
        ("modbus-rtu://ttyUSB0", "modbus-rtu:///dev/ttyUSB0"),
    ],
)
def test_a_wrong_url_is_told_with_what_is_right(url, says):
    with pytest.raises(ConfigError, match=says):
        parse_url(url)


def test_an_error_shows_no_secret():
    with pytest.raises(ConfigError) as caught:
        parse_url("redfish://me:secret@:443?verify=no")
    assert "secret" not in str(caught.value)
