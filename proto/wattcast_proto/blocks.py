"""Columns of samples and signatures to protobuf and back."""

from collections.abc import Collection
from typing import Any

import numpy as np

from wattcast_core.columns import QUALITIES, IntArray, SampleColumns, SignatureColumns
from wattcast_core.errors import DataError
from wattcast_core.signature import FEATURES, Tags
from wattcast_core.units import FloatArray
from wattcast_proto.v1 import agent_pb2 as pb

_CODES = len(QUALITIES)  # pb.Quality counts from 1 in the order of QUALITIES, 0 is unspecified


def encode_samples(columns: SampleColumns) -> pb.SampleBlock:
    """Wire form of samples."""
    return pb.SampleBlock(
        source=columns.source,
        quantity=columns.quantity,
        value=columns.value.tolist(),
        at_ms=columns.at_ms.tolist(),
        quality=(columns.quality + 1).tolist(),
    )


def decode_samples(m: pb.SampleBlock) -> SampleColumns:
    """Domain form of samples.

    Raises:
        DataError: the columns do not fit each other.
    """
    rows = len(m.at_ms)
    _check("samples", rows, m.source, m.quantity, m.value, m.quality)
    return SampleColumns(
        tuple(m.source),
        tuple(m.quantity),
        _floats(m.value),
        _ints(m.at_ms),
        _places("quality", _ints(m.quality) - 1, _CODES),
    )


def encode_signatures(columns: SignatureColumns) -> pb.SignatureBlock:
    """Wire form of signatures."""
    return pb.SignatureBlock(
        server=columns.server,
        at_ms=columns.at_ms.tolist(),
        step_s=columns.step_s.tolist(),
        values=columns.values.ravel().tolist(),
        cords=columns.cords.tolist(),
        cords_w=columns.cords_w.tolist(),
        cords_v=_known(columns.cords_v),
        cords_a=_known(columns.cords_a),
        cords_pf=_known(columns.cords_pf),
        tags=columns.tags.tolist(),
        tag_sets=[encode_tags(tags) for tags in columns.tag_sets],
        quality=(columns.quality + 1).tolist(),
    )


def decode_signatures(m: pb.SignatureBlock) -> SignatureColumns:
    """Domain form of signatures.

    Raises:
        DataError: the columns do not fit each other.
    """
    rows = len(m.at_ms)
    _check("signatures", rows, m.server, m.step_s, m.cords, m.tags, m.quality)
    if len(m.values) != rows * len(FEATURES):
        raise DataError(
            f"block of {rows} signatures: {len(m.values)} values, expected {len(FEATURES)} each;"
            " agent and coordinator must run the same version"
        )
    cords = _ints(m.cords)
    count = int(cords.sum())
    _check("cords", count, m.cords_w)
    return SignatureColumns(
        server=tuple(m.server),
        at_ms=_ints(m.at_ms),
        step_s=_floats(m.step_s),
        values=_floats(m.values).reshape(len(FEATURES), rows),
        cords=cords,
        cords_w=_floats(m.cords_w),
        cords_v=_or_unknown(m.cords_v, count),
        cords_a=_or_unknown(m.cords_a, count),
        cords_pf=_or_unknown(m.cords_pf, count),
        tags=_places("tags", _ints(m.tags), len(m.tag_sets)),
        tag_sets=tuple(map(decode_tags, m.tag_sets)),
        quality=_places("quality", _ints(m.quality) - 1, _CODES),
    )


def encode_tags(t: Tags) -> pb.Tags:
    """Wire form of tags."""
    return pb.Tags(
        site=t.site,
        rack=t.rack,
        application=t.application,
        version=t.version,
        os=t.os,
        criticality=t.criticality,
        user_load=t.user_load,
    )


def decode_tags(t: pb.Tags) -> Tags:
    """Domain form of tags."""
    return Tags(t.site, t.rack, t.application, t.version, t.os, t.criticality, t.user_load)


def _check(what: str, expected: int, *columns: Collection[Any]) -> None:
    if any(len(column) != expected for column in columns):
        found = ", ".join(str(len(column)) for column in columns)
        raise DataError(f"block of {expected} {what}: a column has other lengths ({found})")


def _places(what: str, places: IntArray, count: int) -> IntArray:
    if ((places < 0) | (places >= count)).any():
        raise DataError(
            f"block with an unknown {what} {places.max()}; it was made by another version"
        )
    return places


def _known(numbers: FloatArray) -> list[float]:
    return [] if np.isnan(numbers).all() else numbers.tolist()


def _or_unknown(numbers: Collection[float], count: int) -> FloatArray:
    if not numbers:
        return np.full(count, np.nan)
    _check("cords", count, numbers)
    return _floats(numbers)


def _floats(numbers: Collection[float]) -> FloatArray:
    return np.fromiter(numbers, np.float64, len(numbers))


def _ints(numbers: Collection[int]) -> IntArray:
    return np.fromiter(numbers, np.int64, len(numbers))
