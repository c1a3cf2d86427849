"""From the config and the board to what the desks and the link are made of. Nothing here starts anything."""

from __future__ import annotations

import os
from pathlib import Path

from edgeagent.app.served import Served
from edgeagent.board.fingerprint import board_fingerprint
from edgeagent.board.gpu_parts import read_gpu_parts
from edgeagent.board.identity import Identity
from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.config.schema import Config
from edgeagent.engine.bundle import ModelBundle
from edgeagent.errors import ConfigError
from edgeagent.fleet.envelope import Stamp, encode
from edgeagent.fleet.link_types import LinkSettings, TlsSettings, Will, address_of
from edgeagent.fleet.states import Status
from edgeagent.fleet.topics import Topics
from edgeagent.fleet.url import parse_broker_url


def check_classes(pipeline: str, settings: PipelineSettings, bundle: ModelBundle) -> None:
    """Raises ConfigError for class names that the model does not know."""
    for key, wanted in (("classes", settings.classes or ()), ("class_min_score", settings.class_min_score)):
        unknown = [name for name in wanted if name not in bundle.spec.classes]
        if unknown:
            raise ConfigError(
                f"pipelines.{pipeline}.{key}: model {bundle.spec.name} knows no {', '.join(unknown)}",
                mend=f"its classes are: {', '.join(bundle.spec.classes)}",
            )


def engine_fingerprint(identity: Identity, backend: str, root: Path) -> dict[str, str]:
    """What an engine depends on of this board and of what runs it here.

    An engine for the GPU depends on which parts of it the power mode leaves on, one for the CPU on ONNX Runtime.
    """
    board = board_fingerprint(identity)
    if backend == "onnxruntime":
        return {**board, "onnxruntime": identity.onnxruntime or "none"}
    tactics = os.environ.get("EDGEAGENT_TENSORRT_TACTICS", "")  # which libraries' kernels a build may take
    return {**board, "gpu_parts": read_gpu_parts(root) or "none", **({"tactics": tactics} if tactics else {})}


def module_facts(identity: Identity) -> dict[str, object]:
    """The `module` part of `info`."""
    return {
        "name": identity.module or identity.model or "not a Jetson",
        "id": identity.module_id,
        "soc": identity.soc,
        "compute_capability": identity.compute_capability or None,
        "dla_cores": identity.dla.cores,
        "dla": identity.dla.answer,
        "dla_reason": identity.dla.reason,
        "dla_declared": identity.dla.declared,
        "dla_probed": identity.dla.probed,
        "dla_unprobed": identity.dla.unprobed,
        "memory_mb": identity.memory_mb or 0,
        "carrier": identity.carrier,
        "virtual": identity.virtual,
        "container": identity.container,
        "contradictions": identity.contradictions,
    }


def pipeline_info(served: Served) -> dict[str, object]:
    """One entry of `pipelines` in `info`."""
    engine = served.start.engine if served.start else None
    return {"id": served.name, "camera": served.camera.name, "model": served.model, "engine": engine}


def link_settings(config: Config, topics: Topics, stamp: Stamp) -> LinkSettings:
    """The link as the config asks for it, with the will of this session. Nothing is read here: the link reads
    certificates and password at every attempt to connect."""
    mqtt = config.mqtt
    lost = Status(**stamp.header(topics.status), state="lost", reason="the link broke without a word")
    tls = TlsSettings(mqtt.ca_file, mqtt.cert_file, mqtt.key_file)
    first, *others = (address_of(parse_broker_url(url), tls) for url in (mqtt.url, *(mqtt.fallback_urls or ())))
    return LinkSettings(
        host=first.host,
        port=first.port,
        client_id=f"edgeagent-{config.device.fleet}-{config.device_id}",
        tls=first.tls,
        path=first.path,
        fallbacks=tuple(others),
        preferred_after_s=mqtt.preferred_after_s,
        protocol=mqtt.protocol,
        keepalive_s=mqtt.keepalive_s,
        username=mqtt.username,
        password_file=mqtt.password_file,
        session_expiry_s=mqtt.session_expiry_s,
        connect_timeout_s=mqtt.connect_timeout_s,
        will=Will(topics.status, encode(lost)),
    )
