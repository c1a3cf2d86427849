"""cuda.bindings.driver of a virtual AGX Orin."""

from orin_world import WORLD

globals().update(vars(WORLD.cuda.bindings))
