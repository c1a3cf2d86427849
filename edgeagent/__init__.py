"""edgeagent: turns an NVIDIA Jetson into a dependable vision appliance."""

__version__ = "0.1.0"
