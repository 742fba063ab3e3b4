"""The technician's command against a real SNMP agent."""

import asyncio
import json
import re

import pytest

from wattcast_tools.main import main

pytestmark = pytest.mark.integration
WORDS = ("--timeout", "60", "--json")


@pytest.fixture
def tech(sim, capsys):
    """Runs a command on a URL of the agent: exit code, document, errors."""

    async def _tech(url, *words):
        url = url.format(f"127.0.0.1:{sim}")
        code = await asyncio.to_thread(main, ["tech", "read", "--url", url, *(words or WORDS)])
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else None, printed.err

    return _tech


def total(document, pattern):
    found = document["points"].items()
    return sum(point["value"] for name, point in found if re.fullmatch(pattern, name))


async def test_a_recorded_pdu_is_identified_and_read(tech):
    code, document, _ = await tech("snmp://{}?community=apc-8641")
    assert (code, document["profile"]) == (0, "apc_rpdu2")
    assert "MN:AP8641" in document["device"]
    assert document["points"]["device.power_w"]["value"] == 1210
    assert total(document, r"outlet\.\d+\.power_w") == 1117
    lacking = document["points"]["env.1.temperature_c"]
    assert (lacking["value"], lacking["quality"]) == (None, "invalid")


async def test_what_a_model_does_not_meter_is_no_number(tech):
    code, document, _ = await tech("snmp://{}?community=apc-7902b")
    assert (code, document["profile"]) == (0, "apc_rpdu2")
    assert document["points"]["device.power_w"]["quality"] == "invalid"
    assert document["points"]["device.power_w"]["value"] is None


async def test_version_3_takes_its_secrets_from_the_environment(tech, v3, monkeypatch):
    login = v3()
    monkeypatch.setenv("WATTCAST_SNMP_AUTH_KEY", "an-auth-secret")
    monkeypatch.setenv("WATTCAST_SNMP_PRIV_KEY", "a-priv-secret")
    url = f"snmp://{login.user}@{{}}?auth=SHA256&priv=AES&context=public"
    code, document, _ = await tech(url)
    assert (code, document["profile"]) == (0, "apc_ats")
    assert document["points"]["ats.active_source"]["value"] == "A"
    monkeypatch.setenv("WATTCAST_SNMP_AUTH_KEY", "another-secret")
    code, document, problem = await tech(url)
    assert (code, document) == (3, None)
    assert "secret" not in problem


async def test_a_community_of_the_environment_is_used_and_not_shown(tech, monkeypatch):
    monkeypatch.setenv("WATTCAST_SNMP_COMMUNITY", "sentry-c")
    code, document, _ = await tech("snmp://{}")
    assert (code, document["profile"]) == (0, "servertech_sentry4")
    assert "sentry-c" not in document["device"]
    assert total(document, r"inlet\.\d+\.power_w") == 2960
    assert document["points"]["env.1.temperature_c"]["quality"] == "invalid"  # -41.0


async def test_a_wrong_profile_an_unknown_device_and_silence_are_told_apart(tech):
    url = "snmp://{}?community="
    code, document, problem = await tech(f"{url}apc-8641", "--profile", "eaton_epdu", *WORDS)
    assert (code, document) == (3, None)
    assert re.search(r"does not fit profile eaton_epdu.*MN:AP8641", problem)
    code, document, problem = await tech(f"{url}emerson-network-power")
    assert (code, document) == (3, None)
    assert "Emerson Network Power" in problem
    code, document, problem = await tech(f"{url}nobody", "--timeout", "2", "--json")
    assert (code, document) == (4, None)
    assert "(time-out)" in problem
