"""Stand-ins for the tools of a Jetson, run by small wrappers in a virtual board's `bin/`.

`nvpmodel`, `jetson_clocks`, `nvfancontrol`, `tegrastats` and `systemctl` each run as a program of their own
(`python -I TOOL.py ROOT ARGUMENTS...`) with the standard library only; the other modules here are what they share.
Whoever owns the board's files is root on that board. What `ROOT/misbehave.json` may ask for is in `misbehaviour`.
"""
