"""Roboflow's `InferencePipeline` over a local model: `peer_roboflow.py MODEL FRAMES COUNT MIN_SCORE`. Run by peers.py.

Models come from Roboflow's cloud otherwise. A folder with the network and what the cloud would say of it is loaded as
well, where ALLOW_INFERENCE_MODELS_DIRECTLY_ACCESS_LOCAL_PACKAGES says so, and nothing is asked for with OFFLINE_MODE.
"""

import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path

import peer_engine

peer_engine.install()

import cv2  # noqa: E402  all of these after the engine
import numpy as np  # noqa: E402
import torch  # noqa: E402
from inference import InferencePipeline  # noqa: E402
from inference.core.interfaces.camera.entities import SourceProperties, VideoFrameProducer  # noqa: E402

torch.set_num_threads(1)
cv2.setNumThreads(1)
frames, count, score = np.load(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
account = peer_engine.Account()
SIDE, CLASSES = 640, 80
MODEL = {"model_architecture": "yolov8", "task_type": "object-detection", "backend_type": "onnx"}
INFERENCE = {
    "network_input": {
        "training_input_size": {"height": SIDE, "width": SIDE},
        "dynamic_spatial_size_supported": False,
        "color_mode": "rgb",
        "resize_mode": "letterbox",
        "padding_value": 114,
        "input_channels": 3,
        "scaling_factor": 255,
    },
    "forward_pass": {"static_batch_size": 1},
    "post_processing": {"type": "nms", "fused": False},
}


class Frames(VideoFrameProducer):
    """The frames over and over, as fast as they are asked for, like a video file's."""

    def __init__(self):
        self._taken = 0

    def grab(self):
        self._taken += 1
        return self._taken <= count + account.WARM

    def retrieve(self):
        return True, frames[(self._taken - 1) % len(frames)]

    def release(self):
        pass

    def isOpened(self):
        return True

    def discover_source_properties(self):
        height, width = frames.shape[1:3]
        return SourceProperties(width=width, height=height, total_frames=count + account.WARM, is_file=True, fps=30.0)


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "weights.onnx").symlink_to(sys.argv[1])
    (folder / "model_config.json").write_text(json.dumps(MODEL))
    (folder / "inference_config.json").write_text(json.dumps(INFERENCE))
    (folder / "class_names.txt").write_text("\n".join(f"c{number}" for number in range(CLASSES)))
    pipeline = InferencePipeline.init(
        video_reference=Frames,
        model_id=name,
        on_prediction=lambda prediction, frame: account.mark(len(prediction["predictions"])),
        confidence=score,
        iou_threshold=0.5,
    )
    pipeline.start()
    pipeline.join()
account.tell(importlib.metadata.version("inference-cpu"))
