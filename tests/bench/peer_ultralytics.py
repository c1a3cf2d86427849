"""Ultralytics' `predict`, frame by frame: `peer_ultralytics.py MODEL FRAMES COUNT MIN_SCORE`. Run by peers.py."""

import sys

import peer_engine

peer_engine.install()

import cv2  # noqa: E402  all of these after the engine
import numpy as np  # noqa: E402
import torch  # noqa: E402
import ultralytics  # noqa: E402

torch.set_num_threads(1)
cv2.setNumThreads(1)
model = ultralytics.YOLO(sys.argv[1], task="detect")
frames, count, score = np.load(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
account = peer_engine.Account()
for number in range(count + account.WARM):
    frame = frames[number % len(frames)]
    result = model.predict(frame, imgsz=640, conf=score, iou=0.5, verbose=False, device="cpu")[0]
    boxes = result.boxes.xyxy.numpy(), result.boxes.conf.numpy(), result.boxes.cls.numpy()
    account.mark(len(boxes[0]))
account.tell(ultralytics.__version__)
