"""The servers' network in other runtimes, with random weights, to compare its time."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from wattcast_coordinator.train.folds import MEMBERS
from wattcast_coordinator.train.network import DECODER, JOINT, NEWEST, UNITS
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.features import AHEAD, CANDIDATES, CONTEXT, RECENT
from wattcast_core.signal.steps import HORIZON, WINDOW

_SHAPES = {
    "recent": (WINDOW, len(RECENT)),
    "context": (len(CONTEXT),),
    "ahead": (HORIZON, len(AHEAD)),
    "candidates": (HORIZON, len(CANDIDATES)),
}
Work = Callable[[], object]


def _inputs(batch: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {k: rng.normal(size=(batch, *s)).astype(np.float32) for k, s in _SHAPES.items()}


def torch(batch: int) -> Work | None:
    """One pass in eager PyTorch on one thread; None where it is absent."""
    try:
        lib: Any = importlib.import_module("torch")
    except ImportError:
        return None
    lib.set_num_threads(1)
    nn = lib.nn
    flat = UNITS + NEWEST * len(RECENT) + len(CONTEXT)
    widths = [(flat, JOINT), (JOINT, DECODER), (len(AHEAD), DECODER), (DECODER, DECODER // 2)]
    ends = [(DECODER // 2, len(QUANTILES)), (DECODER // 2, len(QUANTILES) * len(CANDIDATES))]
    members = [
        (nn.LSTM(len(RECENT), UNITS, batch_first=True), [nn.Linear(*w) for w in (*widths, *ends)])
        for _ in range(MEMBERS)
    ]
    given = {name: lib.from_numpy(of) for name, of in _inputs(batch).items()}

    def one(lstm: Any, layers: list[Any]) -> Any:
        _, (state, _) = lstm(given["recent"])
        newest = given["recent"][:, -NEWEST:].flatten(1)
        joint = lib.relu(layers[0](lib.cat([state[0], newest, given["context"]], 1)))
        step = lib.relu(layers[1](joint)[:, None] + layers[2](given["ahead"]))
        step = lib.relu(layers[3](step))
        weight = layers[5](step).unflatten(2, (len(QUANTILES), -1)).softmax(-1)
        return layers[4](step) + (weight @ given["candidates"][..., None])[..., 0]

    def work() -> object:
        with lib.inference_mode():
            return sum(one(*member) for member in members)

    return work


def onnxruntime(batch: int) -> Work | None:
    """One pass in ONNX Runtime on one thread; None where it or ``onnx`` is absent."""
    try:
        lib: Any = importlib.import_module("onnxruntime")
        onnx: Any = importlib.import_module("onnx")
    except ImportError:
        return None
    options = lib.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = _onnx_model(onnx).SerializeToString()
    session = lib.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    given = _inputs(batch)
    return lambda: session.run(None, given)


def _onnx_model(onnx: Any) -> Any:
    graph = _Graph(onnx.helper, onnx.numpy_helper)
    answers = [graph.member(k) for k in range(MEMBERS)]
    graph.add("Mean", answers, "out")
    kind = onnx.TensorProto.FLOAT
    value = onnx.helper.make_tensor_value_info
    ins = [value(name, kind, ["n", *shape]) for name, shape in _SHAPES.items()]
    out = value("out", kind, ["n", HORIZON, len(QUANTILES)])
    made = onnx.helper.make_graph(graph.nodes, "servers", ins, [out], graph.weights)
    version = onnx.helper.make_opsetid("", 17)
    return onnx.helper.make_model(made, opset_imports=[version], ir_version=8)


class _Graph:
    """Nodes and weights of the network as ONNX has them."""

    def __init__(self, helper: Any, arrays: Any) -> None:
        self._helper, self._arrays = helper, arrays
        self._rng = np.random.default_rng(1)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, op: str, ins: list[str], out: str, **settings: Any) -> str:
        """One node; its output's name."""
        self.nodes.append(self._helper.make_node(op, ins, [out], **settings))
        return out

    def _kept(self, name: str, array: Any) -> str:
        self.weights.append(self._arrays.from_array(np.asarray(array), name))
        return name

    def _random(self, name: str, *shape: int) -> str:
        return self._kept(name, self._rng.normal(0.0, 0.1, shape).astype(np.float32))

    def _dense(self, ins: str, name: str, width: tuple[int, int], *, relu: bool) -> str:
        product = self.add("MatMul", [ins, self._random(f"{name}.w", *width)], f"{name}.m")
        out = self.add("Add", [product, self._random(f"{name}.b", width[1])], f"{name}.a")
        return self.add("Relu", [out], f"{name}.r") if relu else out

    def member(self, k: int) -> str:
        """One network of the ensemble; its answer's name."""
        joint = self._joint(f"m{k}")
        ahead = self._dense("ahead", f"m{k}.ahead", (len(AHEAD), DECODER), relu=False)
        step = self.add("Relu", [self.add("Add", [joint, ahead], f"m{k}.both")], f"m{k}.step")
        width, count, guesses = DECODER // 2, len(QUANTILES), len(CANDIDATES)
        step = self._dense(step, f"m{k}.second", (DECODER, width), relu=True)
        own = self._dense(step, f"m{k}.own", (width, count), relu=False)
        score = self._dense(step, f"m{k}.choice", (width, count * guesses), relu=False)
        score = self._reshaped(score, f"m{k}.scores", (0, 0, count, guesses))
        weight = self.add("Softmax", [score], f"m{k}.weights", axis=3)
        column = self._reshaped("candidates", f"m{k}.column", (0, 0, guesses, 1))
        copied = self.add("MatMul", [weight, column], f"m{k}.copied")
        copied = self._reshaped(copied, f"m{k}.flat", (0, 0, count))
        return self.add("Add", [own, copied], f"m{k}.out")

    def _joint(self, m: str) -> str:
        """LSTM, newest steps and context -> [n, 1, DECODER]: the same for all steps ahead."""
        inner = len(RECENT)
        ins = [
            self.add("Transpose", ["recent"], f"{m}.x", perm=[1, 0, 2]),
            self._random(f"{m}.w", 1, 4 * UNITS, inner),
            self._random(f"{m}.r", 1, 4 * UNITS, UNITS),
            self._random(f"{m}.b", 1, 8 * UNITS),
        ]
        node = self._helper.make_node("LSTM", ins, ["", f"{m}.h"], hidden_size=UNITS)
        self.nodes.append(node)
        zero = self._kept(f"{m}.zero", np.array([0], np.int64))
        state = self.add("Squeeze", [f"{m}.h", zero], f"{m}.state")
        ends = [
            self._kept(f"{m}.{name}", np.array([value], np.int64))
            for name, value in (("from", WINDOW - NEWEST), ("to", WINDOW), ("axis", 1))
        ]
        newest = self.add("Slice", ["recent", *ends], f"{m}.cut")
        newest = self._reshaped(newest, f"{m}.newest", (0, NEWEST * inner))
        joined = self.add("Concat", [state, newest, "context"], f"{m}.joined", axis=1)
        width = (UNITS + NEWEST * inner + len(CONTEXT), JOINT)
        joint = self._dense(joined, f"{m}.joint", width, relu=True)
        same = self._dense(joint, f"{m}.same", (JOINT, DECODER), relu=False)
        return self._reshaped(same, f"{m}.one", (0, 1, DECODER))

    def _reshaped(self, ins: str, out: str, shape: tuple[int, ...]) -> str:
        kept = self._kept(f"{out}.shape", np.array(shape, np.int64))
        return self.add("Reshape", [ins, kept], out)


PEERS: dict[str, Callable[[int], Work | None]] = {"onnxruntime": onnxruntime, "torch": torch}
