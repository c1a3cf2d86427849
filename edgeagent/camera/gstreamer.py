"""What GStreamer itself says about a pipeline, before OpenCV starts it.

OpenCV only tells that a pipeline does not open, and waits for ever on one of which an element is missing (a CSI
pipeline on a machine without NVIDIA's plugins). GStreamer's parser names the fault and starts nothing. It is called
in the C library, because OpenCV brings that one along and Python's bindings may not be there.
"""

from __future__ import annotations

import ctypes

LIBRARY = "libgstreamer-1.0.so.0"


class _GError(ctypes.Structure):
    _fields_ = (("domain", ctypes.c_uint32), ("code", ctypes.c_int), ("message", ctypes.c_char_p))


def pipeline_fault(pipeline: str, name: str = LIBRARY) -> str | None:
    """Why GStreamer's parser refuses the pipeline; None when it does not, or when there is no GStreamer to ask."""
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return None
    if not library.gst_init_check(None, None, None):
        return "GStreamer cannot be initialised"
    library.gst_parse_launch.restype = ctypes.c_void_p
    error = ctypes.POINTER(_GError)()
    made = library.gst_parse_launch(pipeline.encode(), ctypes.byref(error))
    if made:
        library.gst_object_unref(ctypes.c_void_p(made))
    if not error:
        return None
    message = (error.contents.message or b"").decode(errors="replace")
    library.g_clear_error(ctypes.byref(error))
    return " ".join(message.split())
