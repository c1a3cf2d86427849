"""edgeagent: turns an NVIDIA Jetson into a dependable vision appliance."""

import os

__version__ = "0.1.0"

# ONNX Runtime's Linux wheels report usage to their maker unless told otherwise before they are loaded. An appliance
# speaks to nobody but its broker (docs/decisions/0003-dependencies.md); an operator's own setting is left alone.
for _name in ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"):
    os.environ.setdefault(_name, "1")
