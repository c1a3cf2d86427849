"""Print the requirements of the group `dev` in pyproject.toml, one a line: for pip versions that know no groups."""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:  # Python 3.10 has no TOML reader of its own; pip carries one
    from pip._vendor import tomli as tomllib

groups = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["dependency-groups"]
sys.stdout.write("\n".join(groups["dev"]) + "\n")
