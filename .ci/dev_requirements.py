"""Print the requirements of the group `dev` in pyproject.toml, one a line: for pip versions that know no groups."""

import sys

if sys.version_info >= (3, 11):
    import tomllib
else:  # Python 3.10 has no TOML reader of its own; pip carries one
    from pip._vendor import tomli as tomllib

with open(sys.argv[1], "rb") as file:
    print("\n".join(tomllib.load(file)["dependency-groups"]["dev"]))
