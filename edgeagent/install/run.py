"""The program that install.sh starts: `python3 -I .../edgeagent/install/run.py ARGUMENTS`, from wherever it lies."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True  # a checkout that root installed from stays as it was
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edgeagent.install.main import main  # noqa: E402  the path comes first

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
