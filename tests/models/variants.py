"""Models made from the one that ships: another name, wrong numbers, none at all."""

import hashlib
import io
import json
import math
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from wattcast_configs.models import BASE_MODEL
from wattcast_core.models import ALL, Champion
from wattcast_core.signal.features import VERSION
from wattcast_core.signal.model_file import METADATA
from wattcast_core.signal.probe import answer, probe_input
from wattcast_core.signal.steps import STEP_S
from wattcast_core.signature import FEATURES, Signature, Tags
from wattcast_core.units import from_epoch_s

BASE = BASE_MODEL.read_bytes()
T0 = 1_700_000_100.0 // STEP_S * STEP_S


def about(content=BASE):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return json.loads(archive.read(METADATA))


def model(name, content=BASE, **change):
    """The same network, or another one, under another name (and what else its metadata say)."""
    out = io.BytesIO(content[: _network_bytes(content)])
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(zipfile.ZipInfo(METADATA), json.dumps(about() | {"id": name} | change))
    return out.getvalue()


def changed(of):
    """The network with every large constant changed."""
    content = bytearray(BASE)
    interpreter = Interpreter(model_content=BASE)
    interpreter.allocate_tensors()
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] == np.float32 and math.prod(detail["shape"]) >= 40:
            try:
                values = interpreter.get_tensor(detail["index"])
            except ValueError:
                continue  # not a constant
            before = values.tobytes()
            if content.count(before) == 1:
                at = content.index(before)
                content[at : at + len(before)] = of(values).astype(np.float32).tobytes()
    return bytes(content)


def nonsense():
    """Finite answers that mean nothing."""
    return model("nonsense", changed(lambda w: -2.0 * w))


def nan():
    return model("nan", changed(lambda w: np.full_like(w, np.nan)))


def answer_of(content, shift=0.0):
    """What a model answers to the probe, to be kept in its metadata."""
    runner = Interpreter(model_content=content).get_signature_runner()
    (out,) = runner(**probe_input().parts()).values()
    return answer(out.astype(np.float64) + shift)


def champion(content, application=ALL, **change):
    told = {
        "application": application,
        "id": about(content)["id"] if zipfile.is_zipfile(io.BytesIO(content)) else "none",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "schema": VERSION,
    }
    return Champion(**(told | change))


def signatures(k, servers=("s1", "s2"), application=""):
    """Step ``k`` of servers whose load swings."""
    out = []
    for n, server in enumerate(servers):
        watts = 300.0 + 60.0 * math.sin(k / 20.0 + n) + 8.0 * math.sin(k * (k + n))
        values = [math.nan] * len(FEATURES)
        values[0] = watts / 6.0
        at = from_epoch_s(T0 + k * STEP_S)
        tags = Tags(application=application)
        out.append(Signature(server, at, STEP_S, (watts,), tuple(values), tags))
    return out


def end_of(k):
    return from_epoch_s(T0 + (k + 1) * STEP_S)


def _network_bytes(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.infolist()[0].header_offset
