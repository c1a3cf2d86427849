"""A real RTSP server on GStreamer: `python3 rtsp_server.py PORT`. For the interpreter that has GStreamer's bindings.

`/belt` shows a ball that moves, `/noise` a picture that is nothing but noise, as a sensor's is in small; `/untold` is
the belt without a word of its rate in the stream's description. Lines on its standard input act on the cameras that
play: `freeze` and `thaw` the noise, `mute` and `speak` (no data is sent, and the connection stays), `size W H`,
`rate FPS`.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

CAPS = "video/x-raw,format=I420,width={width},height={height},framerate={rate}/1"
STILL_COLOUR = 0xFF808080
PICTURE = (
    "( videotestsrc name=picture is-live=true pattern={pattern} ! capsfilter name=caps caps={caps} ! "
    "valve name=gate ! jpegenc ! {filter}rtpjpegpay name=pay0 pt=26 )"
)
UNTOLD = "capssetter join=false replace=true caps=image/jpeg,width=160,height=120 ! "


class Camera:
    """The knobs of one mount point; they hold for whoever connects, now or later."""

    def __init__(self, pattern: str, filter: str = "") -> None:
        self.pattern = self.live_pattern = pattern
        self.muted = False
        self.width, self.height, self.rate = 160, 120, 25
        self.media: list[Gst.Element] = []
        self.factory = GstRtspServer.RTSPMediaFactory()
        self.factory.set_launch(PICTURE.format(pattern=pattern, caps=self.caps(), filter=filter))
        self.factory.set_shared(True)
        self.factory.connect("media-configure", self._made)

    def caps(self) -> str:
        return CAPS.format(width=self.width, height=self.height, rate=self.rate)

    def _made(self, factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        self.media = [media.get_element()]
        self.apply()

    def apply(self) -> None:
        for element in self.media:
            picture = element.get_by_name("picture")
            picture.set_property("foreground-color", STILL_COLOUR)
            picture.set_property("pattern", self.pattern)
            element.get_by_name("caps").set_property("caps", Gst.Caps.from_string(self.caps()))
            element.get_by_name("gate").set_property("drop", self.muted)

    def obey(self, words: list[str]) -> None:
        match words:
            case ["freeze"]:
                self.pattern = "solid-color"
            case ["thaw"]:
                self.pattern = self.live_pattern
            case ["mute"]:
                self.muted = True
            case ["speak"]:
                self.muted = False
            case ["size", width, height]:
                self.width, self.height = int(width), int(height)
            case ["rate", rate]:
                self.rate = int(rate)
        self.apply()


def main() -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    cameras = {"/belt": Camera("ball"), "/noise": Camera("snow"), "/untold": Camera("ball", UNTOLD)}
    for path, camera in cameras.items():
        server.get_mount_points().add_factory(path, camera.factory)
    if server.attach(None) == 0:
        sys.exit("the port is taken")

    def listen(channel: GLib.IOChannel, condition: GLib.IOCondition) -> bool:
        line = sys.stdin.readline()
        for camera in cameras.values():
            camera.obey(line.split())
        if line:
            print("done", flush=True)
        return bool(line)

    GLib.io_add_watch(GLib.IOChannel(sys.stdin.fileno()), GLib.PRIORITY_DEFAULT, GLib.IO_IN, listen)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
