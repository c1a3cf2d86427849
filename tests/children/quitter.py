"""A child that ends at once with the code of its environment: cheap enough to be started fifty times."""

import os

os._exit(int(os.environ.get("QUIT_WITH", "1")))
