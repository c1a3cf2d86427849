"""pycuda of a virtual AGX Orin: ordinary memory behind it (tests/contract/cuda_stand_in.py)."""
