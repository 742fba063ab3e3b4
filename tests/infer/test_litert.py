"""The shipped model in its real runtime."""

import hashlib
import json
import shutil
import zipfile
from dataclasses import fields

import numpy as np
import pytest

from wattcast_agent.infer.litert import LiteRtModel
from wattcast_configs.models import BASE_MANIFEST, BASE_MODEL
from wattcast_core.errors import DataError
from wattcast_core.signal.features import CHANNELS, CONTEXT, ModelInput, build
from wattcast_core.signal.steps import DAY, HISTORY, HORIZON, WINDOW


@pytest.fixture(scope="module")
def model():
    return LiteRtModel(BASE_MODEL, BASE_MANIFEST)


@pytest.fixture
def copy(tmp_path):
    for file in (BASE_MODEL, BASE_MANIFEST):
        shutil.copy(file, tmp_path)
    return tmp_path / BASE_MODEL.name, tmp_path / BASE_MANIFEST.name


def rack(servers, slope_w=0.0):
    """Servers with a day of history, ramping in the newest window."""
    rng = np.random.default_rng(7)
    past = np.full((servers, HISTORY), np.nan)
    past[:, -DAY:] = 300.0 + rng.normal(0.0, 1.0, (servers, DAY))
    past[:, -WINDOW:] += slope_w * np.arange(WINDOW)
    raw = np.full((servers, WINDOW, len(CHANNELS)), np.nan)
    raw[:, :, 0] = past[:, -WINDOW:]
    raw[:, :, 1] = (raw[:, :, 0] - 150.0) / 5.0
    return build(raw, past, np.full(servers, 1_700_000_100.0))


def row(inputs, k):
    return ModelInput(*(getattr(inputs, of.name)[k : k + 1] for of in fields(inputs)))


def test_a_rack_in_one_batch_is_the_same_as_server_by_server(model):
    inputs = rack(40)
    together = model.predict(inputs)
    alone = np.concatenate([model.predict(row(inputs, i)) for i in range(40)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.shape == (40, HORIZON, 4)
    assert (np.diff(together, axis=-1) >= 0).all()


def test_it_follows_a_ramp(model):
    inputs = rack(8, slope_w=2.0)
    hour = inputs.to_watts(model.predict(inputs))[:, -1] - inputs.anchor_w[:, None]
    assert (hour[:, 1] > 6.0).all()
    assert (hour[:, 2] > 14.0).all()


def test_it_names_itself_and_its_runtime(model):
    assert model.id == json.loads(BASE_MANIFEST.read_text())["id"]
    assert model.runtime.split()[0] in {"ai-edge-litert", "tflite-runtime"}
    assert model.metadata["trained_at"]


def test_no_server_is_no_forecast(model):
    assert model.predict(rack(0)).shape == (0, HORIZON, 4)


def test_it_says_where_its_inputs_lay_when_it_learned(model):
    learned = model.learned
    assert learned.low.shape == learned.high.shape == (len(CONTEXT),)
    assert (learned.low <= learned.high).all()


def test_a_corrupt_model_is_refused_with_a_remedy(copy):
    content = bytearray(copy[0].read_bytes())
    content[len(content) // 2] ^= 1
    copy[0].write_bytes(content)
    with pytest.raises(DataError, match=r"corrupt, sha256 .*remedy"):
        LiteRtModel(*copy)


@pytest.mark.parametrize(
    "change", [{"recent": ["power"]}, {"window": 64}, {"schema": 1}], ids=lambda c: next(iter(c))
)
def test_a_model_made_for_other_inputs_is_refused(copy, change):
    relabel(copy, change)
    with pytest.raises(DataError, match=next(iter(change))):
        LiteRtModel(*copy)


def test_a_file_that_is_no_model_is_refused(copy):
    relabel(copy, {}, body=b"not a model")
    with pytest.raises(DataError, match="cannot run it"):
        LiteRtModel(*copy)


def test_missing_files_are_named(copy):
    copy[1].unlink()
    with pytest.raises(DataError, match=r"base\.manifest\.json: cannot be read"):
        LiteRtModel(*copy)
    copy[1].write_text("[]")
    with pytest.raises(DataError, match="not a manifest"):
        LiteRtModel(*copy)


def relabel(paths, change, body=b""):
    """Write other metadata and a manifest that fits the changed file."""
    with zipfile.ZipFile(paths[0]) as archive:
        about = json.loads(archive.read("forecast.json"))
    paths[0].write_bytes(body)
    with zipfile.ZipFile(paths[0], "a") as archive:
        archive.writestr("forecast.json", json.dumps(about | change))
    paths[1].write_text(json.dumps({"sha256": hashlib.sha256(paths[0].read_bytes()).hexdigest()}))
