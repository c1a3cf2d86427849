"""Two independent readings of one format: the product's parser and the stand-in's reader agree on every table."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.power.modes import Setting
from edgeagent.power.nvpmodel_conf import parse_nvpmodel_conf
from edgeagent.simulate.board_tree_disk import CONFS
from edgeagent.simulate.tools import nvpmodel

TABLES = sorted(path.name for path in CONFS.glob("*.conf"))
LOOSE = """\
<PARAM TYPE=CLOCK  NAME=EMC >
MAX_FREQ\t/sys/kernel/cap   # a remark
< PARAM TYPE=FILE NAME=CPU_ONLINE >
  CORE_0   /sys/cpu0/online

< POWER_MODEL ID=4 NAME=LOW >
CPU_ONLINE  CORE_0   1
EMC MAX_FREQ -1
<POWER_MODEL ID=0 NAME=HIGH>
EMC  MAX_FREQ 0
# < POWER_MODEL ID=9 NAME=GONE >
< PM_CONFIG DEFAULT=4 >
< FAN_CONFIG DEFAULT=cool >
"""


def agree(text: str, root: Path) -> int:
    """How many values both readers found, the same ones."""
    (root / "etc").mkdir(parents=True)
    (root / "etc/nvpmodel.conf").write_text(text)
    ours, theirs = parse_nvpmodel_conf(text), nvpmodel.load_conf(root)
    values = {
        (mode.id, mode.name, one.parameter, one.argument): str(one.value if isinstance(one, Setting) else one.text)
        for mode in ours.modes
        for one in (*mode.settings, *mode.texts)
    }
    declared = {(parameter.name, argument) for parameter in ours.parameters for argument in parameter.paths}
    assert values == {
        (model.number, model.name, *key): value
        for model in theirs.models.values()
        for key, value in model.values.items()
        if key in declared
    }
    paths = {
        (parameter.name, argument): path for parameter in ours.parameters for argument, path in parameter.paths.items()
    }
    assert {key: path for key, path in theirs.paths.items() if key in paths} == paths
    assert (ours.default_id, ours.fan_default) == (theirs.default, theirs.fan_default)
    return len(values)


@pytest.mark.parametrize("name", TABLES)
def test_both_read_the_same_from_every_shipped_table(name: str, tmp_path: Path) -> None:
    assert agree((CONFS / name).read_text(), tmp_path / "board") > 10


def test_both_are_loose_with_blanks_and_remarks(tmp_path: Path) -> None:
    assert agree(LOOSE, tmp_path / "board") == 3
