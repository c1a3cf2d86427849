"""Stand-ins for the tools of a Jetson, run by small wrappers in a virtual board's `bin/`.

Each file runs on its own with the standard library only. Whoever owns the board's files is root on that board.
"""
