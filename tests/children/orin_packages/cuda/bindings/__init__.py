"""cuda-bindings of a virtual AGX Orin."""

__version__ = "12.6.2"
