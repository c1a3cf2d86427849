"""What a stand-in TensorRT does: parses ONNX, calibrates, builds, inspects and runs, as far as the backend can see.

It refuses what the real one refuses, as far as NVIDIA's sources and documentation tell: a network without
explicit batch on 8.6, INT8 without scales, a DLA that is not there, Q/DQ on a DLA before 10.8, layers that a DLA does
not take without GPU_FALLBACK, types that do not fit in a strongly typed network. A plan is the ONNX behind a line
with the release; it runs on ONNX Runtime over the memory of the CUDA stand-in.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from cuda_stand_in import CudaStandIn
from onnx import TensorProto, shape_inference
from trt_stand_in import make_module, new

KINDS = {
    "Conv": "CONVOLUTION", "ConvTranspose": "DECONVOLUTION", "MatMul": "MATRIX_MULTIPLY", "Gemm": "MATRIX_MULTIPLY",
    "Softmax": "SOFTMAX", "MaxPool": "POOLING", "Relu": "ACTIVATION", "Sigmoid": "ACTIVATION", "Cast": "CAST",
    "Concat": "CONCATENATION", "Resize": "RESIZE", "Gather": "GATHER", "GatherElements": "GATHER", "TopK": "TOPK",
    "QuantizeLinear": "QUANTIZE", "DequantizeLinear": "DEQUANTIZE", "Slice": "SLICE", "Split": "SLICE",
    "Transpose": "SHUFFLE", "Reshape": "SHUFFLE", "Unsqueeze": "SHUFFLE", "ReduceMax": "REDUCE", "ArgMax": "TOPK",
}  # fmt: skip
DTYPES = {
    TensorProto.FLOAT: "FLOAT", TensorProto.FLOAT16: "HALF", TensorProto.INT8: "INT8", TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT32", TensorProto.UINT8: "UINT8", TensorProto.BOOL: "BOOL",
}  # fmt: skip
MARK = b"stand-in plan "
PROFILE = "stand-in profile"
SHARED = "PROFILE_SHARING_0806"
COMPUTES_IN = 4096


@dataclass
class Built:
    """One call of build_serialized_network, as the builder saw it."""

    flags: set[str]
    level: int | None
    pools: dict[str, int]
    device: str
    on_gpu: set[str]
    calibrator: bool
    cache: bytes | None
    pictures: list[bytes]
    dla_core: int | None
    sources: int | None


@dataclass
class World:
    """How this TensorRT behaves, and what was asked of it."""

    release: str
    cuda: CudaStandIn = field(default_factory=CudaStandIn)
    dla_cores: int = 0
    dla_refuses: set[str] = field(default_factory=set)  # operators
    unsupported: set[str] = field(default_factory=set)  # operators
    unscaled: set[str] = field(default_factory=set)  # tensors that calibration gives no scale
    timing: str = "accept"  # accept | corrupt | mismatch | refused while building
    lines: list[tuple[str, str]] = field(default_factory=list)  # severity and text, said while building
    refuse: bool = False  # the builder returns nothing
    no_gpu: bool = False
    steps: int = 4  # of the outermost phase
    during_build: Callable[[], None] = lambda: None
    builds: list[Built] = field(default_factory=list)
    network_flags: int = 0
    runtime_core: int | None = None
    no_capture: bool = False  # the engine cannot be recorded as a graph
    fails: str = ""  # what it says when it does not start an engine

    def module(self) -> ModuleType:
        self._trt = make_module(self.release, self._behaviours(), self._values())
        return self._trt

    @property
    def typed(self) -> bool:
        return not hasattr(self._trt.BuilderFlag, "INT8")

    # -- tables

    def _behaviours(self) -> dict[tuple[str, str], Callable[..., Any]]:
        return {
            ("", "init_libnvinfer_plugins"): self._init_plugins,
            ("Builder", "__init__"): self._new_builder,
            ("Builder", "create_network"): self._create_network,
            ("Builder", "create_builder_config"): lambda me: self._new("IBuilderConfig", **self._config_values()),
            ("Builder", "build_serialized_network"): self._build,
            ("OnnxParser", "__init__"): lambda me, network, logger: self._note(me, network=network, errors=[]),
            ("OnnxParser", "parse"): self._parse,
            ("OnnxParser", "get_error"): lambda me, index: me.__dict__["errors"][index],
            ("ParserError", "desc"): lambda me: me.__dict__["_values"]["_desc"],
            ("ParserError", "node"): lambda me: me.__dict__["_values"]["_node"],
            ("ParserError", "node_name"): lambda me: me.__dict__["_values"]["_name"],
            ("ParserError", "node_operator"): lambda me: me.__dict__["_values"]["_operator"],
            ("INetworkDefinition", "get_layer"): lambda me, index: me.__dict__["layers"][index],
            ("INetworkDefinition", "get_input"): lambda me, index: me.__dict__["inputs"][index],
            ("ILayer", "get_input"): lambda me, index: me.__dict__["inputs"][index],
            ("ILayer", "get_output"): lambda me, index: me.__dict__["outputs"][index],
            ("IBuilderConfig", "set_flag"): lambda me, flag: me.__dict__["flag_names"].add(flag.name),
            ("IBuilderConfig", "clear_flag"): lambda me, flag: me.__dict__["flag_names"].discard(flag.name),
            ("IBuilderConfig", "set_memory_pool_limit"): self._set_pool,
            ("IBuilderConfig", "get_tactic_sources"): lambda me: me.__dict__["sources"],
            ("IBuilderConfig", "set_tactic_sources"): lambda me, tactic_sources: bool(
                me.__dict__.update(sources=tactic_sources) or True
            ),
            ("IBuilderConfig", "create_timing_cache"): self._create_timing_cache,
            ("IBuilderConfig", "set_timing_cache"): self._set_timing_cache,
            ("IBuilderConfig", "get_timing_cache"): lambda me: me.__dict__.get("timing_cache"),
            ("ITimingCache", "serialize"): lambda me: self._new("IHostMemory", data=b"timings of " + self._id),
            ("Builder", "create_optimization_profile"): lambda me: self._new("IOptimizationProfile", shapes={}),
            ("IOptimizationProfile", "set_shape"): self._set_profile_shape,
            ("IBuilderConfig", "add_optimization_profile"): self._add_profile,
            ("IBuilderConfig", "set_calibration_profile"): lambda me, profile: bool(
                me.__dict__.update(calibration_profile=profile) or True
            ),
            ("IBuilderConfig", "get_preview_feature"): lambda me, feature: not self.release.startswith("8."),
            ("IBuilderConfig", "set_preview_feature"): self._set_preview,
            ("IBuilderConfig", "can_run_on_DLA"): lambda me, layer: self._fits_dla(layer),
            ("IBuilderConfig", "set_device_type"): lambda me, layer, device_type: me.__dict__["devices"].update(
                {layer.name: device_type.name}
            ),
            ("Runtime", "__init__"): lambda me, logger: self._note(me, logger=logger),
            ("Runtime", "deserialize_cuda_engine"): self._deserialize,
            ("ICudaEngine", "create_engine_inspector"): lambda me: self._new("EngineInspector", _engine=me),
            ("EngineInspector", "get_engine_information"): self._inspect,
            ("ICudaEngine", "create_execution_context"): self._create_context,
            ("ICudaEngine", "get_tensor_name"): lambda me, index: me.__dict__["tensors"][index][0],
            ("ICudaEngine", "get_tensor_mode"): lambda me, name: self._tensor(me, name)[1],
            ("ICudaEngine", "get_tensor_dtype"): lambda me, name: self._tensor(me, name)[2],
            ("ICudaEngine", "get_tensor_shape"): lambda me, name: self._tensor(me, name)[3],
            ("ICudaEngine", "create_execution_context_without_device_memory"): self._create_bare_context,
            ("ICudaEngine", "get_tensor_profile_shape"): self._profile_of,
            ("IExecutionContext", "set_device_memory"): self._lend_memory,
            ("IExecutionContext", "set_input_shape"): self._set_input_shape,
            ("IExecutionContext", "set_optimization_profile_async"): self._set_profile,
            ("IExecutionContext", "set_tensor_address"): self._set_address,
            ("IExecutionContext", "execute_async_v3"): self._execute,
        }

    def _values(self) -> dict[tuple[str, str], Callable[[Any], Any]]:
        return {
            ("Builder", "num_DLA_cores"): lambda me: self.dla_cores,
            ("Runtime", "num_DLA_cores"): lambda me: self.dla_cores,
            ("OnnxParser", "num_errors"): lambda me: len(me.__dict__["errors"]),
            ("INetworkDefinition", "num_layers"): lambda me: len(me.__dict__["layers"]),
            ("INetworkDefinition", "num_inputs"): lambda me: len(me.__dict__["inputs"]),
            ("ILayer", "num_inputs"): lambda me: len(me.__dict__["inputs"]),
            ("ILayer", "num_outputs"): lambda me: len(me.__dict__["outputs"]),
            ("ICudaEngine", "device_memory_size"): lambda me: COMPUTES_IN,
            ("ICudaEngine", "device_memory_size_v2"): lambda me: COMPUTES_IN,
            ("IExecutionContext", "active_optimization_profile"): lambda me: me.__dict__["profile"],
            ("ICudaEngine", "num_io_tensors"): lambda me: len(me.__dict__["tensors"]),
        }

    @property
    def _id(self) -> bytes:
        return self.release.encode()

    def _new(self, kind: str, **values: Any) -> Any:
        made = new(getattr(self._trt, kind), **values)
        made.__dict__.update({name: value for name, value in values.items() if not name.startswith("_")})
        return made

    @staticmethod
    def _note(me: Any, **values: Any) -> None:
        me.__dict__.update(values)

    # -- building

    def _init_plugins(self, logger: Any, namespace: str) -> bool:
        assert isinstance(logger, self._trt.ILogger) and isinstance(namespace, str)
        return True

    def _new_builder(self, me: Any, logger: Any) -> None:
        if self.no_gpu:
            logger.log(self._trt.ILogger.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._note(me, logger=logger)

    def _create_network(self, me: Any, flags: int) -> Any:
        self.network_flags = flags
        return self._new("INetworkDefinition", layers=[], inputs=[], flags_given=flags, model=None)

    def _config_values(self) -> dict[str, Any]:
        return {
            "flag_names": {"TF32"}, "pools": {}, "devices": {}, "sources": 31, "profiles": [], "previews": set(),
        }  # fmt: skip

    def _set_pool(self, me: Any, pool: Any, pool_size: int) -> None:
        assert pool_size > 0
        if self.release.startswith("8.6") and pool.name != "WORKSPACE" and pool_size & (pool_size - 1):
            raise AssertionError(f"8.6 takes powers of two only for {pool.name}, and goes on without the limit")
        me.__dict__["pools"][pool.name] = pool_size

    def _parse(self, me: Any, model: bytes, path: Any = None) -> bool:
        network = me.__dict__["network"]
        explicit = getattr(self._trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
        if self.release.startswith("8.") and not network.__dict__["flags_given"] & (1 << int(explicit)):
            return self._fail_parse(me, -1, "", "", "this version of the ONNX parser only supports explicit batch")
        graph = shape_inference.infer_shapes(onnx.load_from_string(bytes(model)), strict_mode=self.typed)
        if self.typed:
            onnx.checker.check_model(graph, full_check=True)
        for index, node in enumerate(graph.graph.node):
            if node.op_type in self.unsupported:
                return self._fail_parse(
                    me, index, node.name, node.op_type, f"no importer registered for {node.op_type}"
                )
        self._fill(network, graph)
        return True

    def _fail_parse(self, me: Any, index: int, name: str, operator: str, text: str) -> bool:
        error = new(self._trt.ParserError, _desc=text, _node=index, _name=name, _operator=operator)
        me.__dict__["errors"].append(error)
        return False

    def _fill(self, network: Any, model: onnx.ModelProto) -> None:
        graph = model.graph
        types = {v.name: v.type.tensor_type for v in (*graph.input, *graph.value_info, *graph.output)}
        tensors: dict[str, Any] = {}

        def tensor(name: str) -> Any:
            if name not in tensors:
                kind = types[name]
                tensors[name] = self._new(
                    "ITensor",
                    name=name,
                    dtype=self._trt.DataType[DTYPES[kind.elem_type]],
                    shape=tuple(-1 if dim.dim_param else dim.dim_value for dim in kind.shape.dim),
                    is_shape_tensor=False,
                )
            return tensors[name]

        network.__dict__["inputs"].extend(tensor(value.name) for value in graph.input)
        for node in graph.node:
            made = self._new(
                "ILayer",
                name=node.name,
                type=self._trt.LayerType[KINDS.get(node.op_type, "ELEMENTWISE")],
            )
            made.__dict__.update(
                inputs=[tensor(name) for name in node.input if name in types],
                outputs=[tensor(name) for name in node.output],
                operator=node.op_type,
            )
            network.__dict__["layers"].append(made)
        network.__dict__["model"] = model

    def _fits_dla(self, layer: Any) -> bool:
        return self.dla_cores > 0 and layer.__dict__["operator"] not in self.dla_refuses

    def _create_timing_cache(self, me: Any, serialized_timing_cache: bytes) -> Any:
        if serialized_timing_cache and self.timing == "corrupt":
            return None
        return self._new("ITimingCache", saved=bool(serialized_timing_cache))

    def _set_timing_cache(self, me: Any, cache: Any, ignore_mismatch: bool) -> bool:
        assert cache is not None, "the real one crashes"
        assert not ignore_mismatch
        if cache.__dict__["saved"] and self.timing == "mismatch":
            return False
        me.__dict__["timing_cache"] = cache
        return True

    def _build(self, me: Any, network: Any, config: Any, kernel_text: Any = None) -> Any:
        say = me.__dict__["logger"].log
        severity = self._trt.ILogger.Severity
        held = config.__dict__["_values"]
        calibrator = held.get("int8_calibrator")
        device = held.get("default_device_type")
        record = Built(
            flags=set(config.__dict__["flag_names"]),
            level=held.get("builder_optimization_level"),
            pools=dict(config.__dict__["pools"]),
            device="GPU" if device is None else device.name,
            on_gpu={name for name, kind in config.__dict__["devices"].items() if kind == "GPU"},
            calibrator=calibrator is not None,
            cache=None,
            pictures=[],
            dla_core=held.get("DLA_core"),
            sources=config.__dict__["sources"],
        )
        self.builds.append(record)
        say(severity.VERBOSE, "After final dead-layer removal: 4 layers")
        say(severity.VERBOSE, "=============== Computing costs for ")
        reason = self._objection(network, config, record, say, severity)
        if reason:
            say(severity.ERROR, reason)
            return None
        if "INT8" in record.flags and calibrator is not None:
            self._calibrate(network, config, calibrator, record)
        for level, text in self.lines:
            say(severity[level], text)
        timings = config.__dict__.get("timing_cache")
        if self.timing == "refused" and timings is not None and timings.__dict__["saved"]:
            say(severity.WARNING, "myelinCache deserializeFromBuffer failed. The timing cache will not be used!")
        self.during_build()
        if not self._go_on(held.get("progress_monitor")) or self.refuse:
            return None
        description = json.dumps(self._describe(network, record)).encode()
        model = onnx.ModelProto.FromString(network.__dict__["model"].SerializeToString())
        onnx.helper.set_model_props(model, {PROFILE: self._kept_profile(config)})
        head = MARK + self._id + b"\n" + struct.pack("<I", len(description))
        return self._new("IHostMemory", data=head + description + model.SerializeToString())

    def _objection(self, network: Any, config: Any, record: Built, say: Any, severity: Any) -> str:
        operators = {layer.__dict__["operator"] for layer in network.__dict__["layers"]}
        explicit = "QuantizeLinear" in operators
        if "INT8" in record.flags and not explicit and not record.calibrator:
            return "Calibration failure occurred with no scaling factors detected"
        if any(-1 in tensor.shape for tensor in network.__dict__["inputs"]):
            if not config.__dict__["profiles"]:
                return "Network has dynamic or shape inputs, but no optimization profile has been defined."
            if record.device == "DLA":
                return "DLA does not support dynamic shapes with a range"
        if record.device != "DLA":
            return ""
        if self.dla_cores == 0:
            return "DLA is not supported on this platform"
        if explicit and not self.typed:
            return "Q/DQ layers are not supported on DLA"
        for layer in network.__dict__["layers"]:
            if layer.name in record.on_gpu or self._fits_dla(layer):
                continue
            if "GPU_FALLBACK" not in record.flags:
                return f"Layer {layer.name} is not supported on DLA and GPU fallback is not enabled"
            say(
                severity.WARNING,
                f"Layer '{layer.name}' ({layer.type.name}): Unsupported on DLA. "
                "Switching this layer's device type to GPU.",
            )
        return ""

    def _calibrate(self, network: Any, config: Any, calibrator: Any, record: Built) -> None:
        cache = calibrator.read_calibration_cache()
        if cache:
            record.cache = bytes(cache)
            return
        frames = network.get_input(0)
        shape = frames.shape
        if shape[0] == -1:
            shape = config.__dict__["calibration_profile"].__dict__["shapes"][frames.name][1]
        size = int(np.prod(shape))
        assert calibrator.get_batch_size() == shape[0]
        while addresses := calibrator.get_batch([frames.name]):
            record.pictures.append(self.cuda.read(addresses[0], size))
        if not record.pictures:
            return
        floats = self._trt.DataType.FLOAT
        lines = [
            f"{tensor.name}: 3c010a14"
            for layer in network.__dict__["layers"]
            for tensor in layer.__dict__["outputs"]
            if tensor.dtype == floats and tensor.name not in self.unscaled
        ]
        head = f"TRT-{self.release.replace('.', '0')[:6]}-EntropyCalibration2"
        calibrator.write_calibration_cache(("\n".join([head, *lines]) + "\n").encode())

    def _go_on(self, monitor: Any) -> bool:
        if monitor is None:
            return True
        monitor.phase_start("Building an engine", None, self.steps)
        for step in range(self.steps):
            monitor.phase_start("Timing graph nodes", "Building an engine", 2)
            if not (monitor.step_complete("Timing graph nodes", 0) and monitor.step_complete("Timing graph nodes", 1)):
                return False
            monitor.phase_finish("Timing graph nodes")
            if not monitor.step_complete("Building an engine", step):
                return False
        monitor.phase_finish("Building an engine")
        return True

    def _describe(self, network: Any, record: Built) -> list[dict[str, Any]]:
        """The inspector's layers: runs of layers on a DLA are one foreign node each."""
        found: list[dict[str, Any]] = []
        run: list[str] = []

        def end_run() -> None:
            if run:
                name = "{ForeignNode[" + f"{run[0]}...{run[-1]}" + "]}"
                found.append({"Name": name, "LayerType": "DLA", "Metadata": ""})  # as a subgraph of Myelin's has none
                run.clear()

        for layer in network.__dict__["layers"]:
            if record.device == "DLA" and layer.name not in record.on_gpu and self._fits_dla(layer):
                run.append(layer.name)
                continue
            end_run()
            found.append({"Name": f"Reformatting CopyNode for Input Tensor 0 to {layer.name}", "LayerType": "NoOp"})
            found.append(
                {
                    "Name": layer.name,
                    "LayerType": layer.type.name.title(),
                    "Inputs": [{"Name": "x", "Format/Datatype": "Row major linear FP32"}],
                    "Outputs": [],
                    "Metadata": f"[ONNX Layer: {layer.name}]",
                }
            )
        end_run()
        return found

    def _kept_profile(self, config: Any) -> str:
        """What a plan keeps of the profile that it was built for, in the metadata of the network that it is here."""
        shapes = {name: sizes for one in config.__dict__["profiles"] for name, sizes in one.__dict__["shapes"].items()}
        shared = not self.release.startswith("8.") or SHARED in config.__dict__["previews"]
        return json.dumps({"shapes": shapes, "shared": shared})

    # -- running

    def _deserialize(self, me: Any, serialized_engine: bytes) -> Any:
        self.runtime_core = me.__dict__["_values"].get("DLA_core")
        data = bytes(serialized_engine)
        head, _, rest = data.partition(b"\n")
        if not data.startswith(MARK) or head != MARK + self._id:
            me.__dict__["logger"].log(self._trt.ILogger.ERROR, "magicTag == rt::kPLAN_MAGIC_TAG failed")
            return None
        (length,) = struct.unpack("<I", rest[:4])
        model = onnx.load_from_string(rest[4 + length :])
        mode, kinds = self._trt.TensorIOMode, self._trt.DataType
        tensors = [
            (value.name, which, kinds[DTYPES[value.type.tensor_type.elem_type]], _shape(value))
            for which, values in ((mode.INPUT, model.graph.input), (mode.OUTPUT, model.graph.output))
            for value in values
        ]
        return self._new(
            "ICudaEngine",
            tensors=tensors,
            model=model,
            layers=json.loads(rest[4 : 4 + length]),
            logger=me.__dict__["logger"],
        )

    def _tensor(self, me: Any, name: str) -> Any:
        return next(tensor for tensor in me.__dict__["tensors"] if tensor[0] == name)

    def _inspect(self, me: Any, format: Any) -> str:
        assert format.name == "JSON"
        layers = me.__dict__["_values"]["_engine"].__dict__["layers"]
        # the real one writes the control character as it is, which strict JSON does not allow
        return json.dumps({"Layers": layers, "Bindings": []}).replace("\\u001e", "\x1e")

    def _create_context(self, me: Any, **asked: Any) -> Any:
        strategy = asked.get("strategy")
        return self._context(me, own_memory=strategy is None or strategy.name == "STATIC")

    def _create_bare_context(self, me: Any) -> Any:
        return self._context(me, own_memory=False)

    def _context(self, me: Any, *, own_memory: bool) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model = me.__dict__["model"].SerializeToString()
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return self._new("IExecutionContext", session=session, addresses={}, engine_of=me, passes=0,
                         own_memory=own_memory, shape=None, profile=self._first_profile(me))  # fmt: skip

    def _first_profile(self, engine: Any) -> int:
        """The first context takes the profile; the others are told to, and before 10 that must have been allowed."""
        engine.__dict__["contexts"] = engine.__dict__.get("contexts", 0) + 1
        return 0 if engine.__dict__["contexts"] == 1 or not self.release.startswith("8.") else -1

    def _set_profile(self, me: Any, profile_index: int, stream_handle: int) -> bool:
        assert stream_handle
        kept = json.loads(_told(me.__dict__["engine_of"].__dict__["model"], PROFILE))
        me.__dict__["profile"] = profile_index
        return profile_index == 0 and kept["shared"]

    def _profile_of(self, me: Any, name: str, profile_index: int) -> list[tuple[int, ...]]:
        assert profile_index == 0
        return [tuple(shape) for shape in json.loads(_told(me.__dict__["model"], PROFILE))["shapes"][name]]

    def _set_preview(self, me: Any, feature: Any, enable: bool) -> None:
        assert self.release.startswith("8."), "it is on and cannot be changed"
        me.__dict__["previews"].add(feature.name)

    def _lend_memory(self, me: Any, memory: int, size: int) -> None:
        assert size >= COMPUTES_IN and memory % 256 == 0 and self.cuda.knows(memory)
        me.__dict__["_values"]["device_memory"] = memory

    def _set_input_shape(self, me: Any, name: str, shape: Any) -> bool:
        if me.__dict__["profile"] != 0:
            return False
        least, _, most = self._profile_of(me.__dict__["engine_of"], name, 0)
        me.__dict__["shape"] = tuple(shape)
        return all(low <= side <= high for low, side, high in zip(least, shape, most, strict=True))

    @staticmethod
    def _set_profile_shape(me: Any, input: str, min: Any, opt: Any, max: Any) -> None:
        me.__dict__["shapes"][input] = [tuple(min), tuple(opt), tuple(max)]

    @staticmethod
    def _add_profile(me: Any, profile: Any) -> int:
        me.__dict__["profiles"].append(profile)
        return len(me.__dict__["profiles"]) - 1

    def _set_address(self, me: Any, name: str, memory: int) -> bool:
        if self.runtime_core is not None and me.__dict__["addresses"].get(name, memory) != memory:
            return False  # a DLA wants to be told that the old one is no longer used
        me.__dict__["addresses"][name] = memory
        return memory % 256 == 0 and self.cuda.knows(memory)

    def _execute(self, me: Any, stream_handle: int) -> bool:
        assert stream_handle, "the default stream costs a synchronisation a frame"
        tensors = me.__dict__["engine_of"].__dict__["tensors"]
        if set(me.__dict__["addresses"]) != {tensor[0] for tensor in tensors}:
            return False
        lent = me.__dict__["_values"].get("device_memory")
        if not me.__dict__["own_memory"] and not (lent and self.cuda.knows(lent)):
            return False
        if -1 in tensors[0][3] and me.__dict__["shape"] is None:
            return False
        if self.fails or self.cuda.lost:
            logger = me.__dict__["engine_of"].__dict__["logger"]
            logger.log(self._trt.ILogger.ERROR, self.fails or f"[executor] Cuda Runtime ({self.cuda.lost})")
            return False
        if stream_handle in self.cuda.capturing and (self.no_capture or not me.__dict__["passes"]):
            self.cuda.capturing[stream_handle] = None  # it did what cannot be recorded
            return False
        me.__dict__["passes"] += 1
        addresses = dict(me.__dict__["addresses"])
        self.cuda.put(stream_handle, lambda: self._compute(me, tensors, addresses))
        return True

    def _compute(self, me: Any, tensors: Any, addresses: dict[str, int]) -> None:
        name, shape = tensors[0][0], me.__dict__["shape"] or tensors[0][3]
        frames = np.frombuffer(self.cuda.read(addresses[name], int(np.prod(shape))), np.uint8).reshape(shape)
        names = [tensor[0] for tensor in tensors[1:]]
        for output, value in zip(names, me.__dict__["session"].run(names, {name: frames}), strict=True):
            self.cuda.write(addresses[output], value.tobytes())


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(-1 if dim.dim_param else dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _told(model: onnx.ModelProto, key: str) -> str:
    return next(entry.value for entry in model.metadata_props if entry.key == key)
