"""TensorRT as a build backend: one code path for 8.6, 10.3 to 10.16 and 11, made of what the module has.

`capabilities` reads what the module offers, `settings` decides from it without touching it, and `backend` carries that
out in a thread of its own. Nothing here asks for a version except where behaviour and not the API differs.
"""
