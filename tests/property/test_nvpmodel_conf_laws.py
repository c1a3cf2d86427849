"""Laws of the nvpmodel.conf parser: what is written is read back, looks do not matter, junk is refused in one way."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.power.modes import Parameter, PowerConf, PowerMode, Setting, TextSetting
from edgeagent.power.nvpmodel_conf import ConfMistakesError, parse_nvpmodel_conf

names = st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True)
words = st.from_regex(r"[a-z][a-z0-9,:+-]{0,9}", fullmatch=True)
paths = st.lists(words, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
clock_arguments = st.sampled_from(["FREQ_TABLE", "MAX_FREQ", "MIN_FREQ", "MAX_FREQ_KNEXT", "MIN_FREQ_KNEXT"])
numbers = st.one_of(st.sampled_from([-1, 0, 1, 2**31 - 1, 2**63 - 1, 2**64 - 1, -(2**63)]), st.integers(0, 10**10))


def parameter(kind: str, name: str) -> st.SearchStrategy[Parameter]:
    arguments = clock_arguments if kind == "CLOCK" else names
    return st.dictionaries(arguments, paths, max_size=4).map(lambda found: Parameter(kind, name, found))


@st.composite
def modes(draw: st.DrawFn, mode_id: int, name: str, parameters: Sequence[Parameter]) -> PowerMode:
    known = [(one, argument) for one in parameters for argument in one.paths]
    chosen = draw(st.lists(st.sampled_from(known), unique_by=lambda one: (one[0].name, one[1]))) if known else []
    values = [
        (one.name, argument, draw(st.one_of(numbers, words) if one.kind == "FILE" else numbers))
        for one, argument in chosen
    ]
    return PowerMode(
        mode_id,
        name,
        tuple(Setting(*one) for one in values if isinstance(one[2], int)),
        tuple(TextSetting(*one) for one in values if isinstance(one[2], str)),
    )


@st.composite
def confs(draw: st.DrawFn) -> PowerConf:
    kinds = draw(st.dictionaries(names, st.sampled_from(["FILE", "CLOCK"]), max_size=4))
    parameters = [draw(parameter(kind, name)) for name, kind in kinds.items()]
    ids = draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4, unique=True))
    called = draw(st.lists(names, min_size=len(ids), max_size=len(ids), unique=True))
    table = [draw(modes(number, name, parameters)) for number, name in zip(ids, called, strict=True)]
    fan = draw(st.one_of(st.just(""), words))
    return PowerConf(tuple(parameters), tuple(table), draw(st.sampled_from(ids)), fan)


def render(conf: PowerConf) -> list[str]:
    """The lines of a file that says what `conf` says."""
    lines = []
    for one in conf.parameters:
        lines += [f"< PARAM TYPE={one.kind} NAME={one.name} >", *(f"{key} {path}" for key, path in one.paths.items())]
    for mode in conf.modes:
        lines.append(f"< POWER_MODEL ID={mode.id} NAME={mode.name} >")
        lines += [f"{one.parameter} {one.argument} {one.value}" for one in mode.settings]
        lines += [f"{one.parameter} {one.argument} {one.text}" for one in mode.texts]
    lines.append(f"< PM_CONFIG DEFAULT={conf.default_id} >")
    return lines + [f"< FAN_CONFIG DEFAULT={conf.fan_default} >"] * bool(conf.fan_default)


@given(confs())
def test_what_is_written_is_read_back(conf: PowerConf) -> None:
    found = parse_nvpmodel_conf("\n".join(render(conf)))
    assert found == conf
    assert found.warnings == ()
    assert found.default in found.modes
    for mode in found.modes:
        assert found.mode_by_id(mode.id) is found.mode_by_name(mode.name) is mode
        assert all(mode.value(one.parameter, one.argument) == one.value for one in mode.settings)
        assert all(found.paths_of(one.parameter, one.argument) for one in mode.settings)


blanks = st.text(" \t", min_size=1, max_size=3)
comments = st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=12).map("#{}".format)
noise = st.one_of(st.just(""), blanks, comments)


@st.composite
def disguised(draw: st.DrawFn, lines: Sequence[str]) -> str:
    """The same lines with other blanks, comments, empty lines and line ends."""
    written = []
    for line in lines:
        written += draw(st.lists(noise, max_size=2))
        if line.startswith("<") and draw(st.booleans()):
            line = line.replace("< ", "<").replace(" >", ">")  # noqa: PLW2901
        body = "".join(draw(blanks) if letter == " " else letter for letter in line)
        written.append(draw(st.one_of(st.just(""), blanks)) + body + draw(st.one_of(st.just(""), blanks)) + draw(noise))
    return draw(st.sampled_from(["\n", "\r\n"])).join(written)


@settings(deadline=None)
@given(st.data(), confs())
def test_blanks_comments_and_line_ends_change_nothing(data: st.DataObject, conf: PowerConf) -> None:
    found = parse_nvpmodel_conf(data.draw(disguised(render(conf))))
    assert found == conf
    assert found.warnings == ()


@settings(deadline=None)
@given(st.data(), confs())
def test_a_heading_says_the_same_in_any_order(data: st.DataObject, conf: PowerConf) -> None:
    lines = render(conf)
    for number, line in enumerate(lines):
        if line.startswith("<"):
            keyword, *attributes = line[2:-2].split()
            lines[number] = f"< {keyword} {' '.join(data.draw(st.permutations(attributes)))} >"
    assert parse_nvpmodel_conf("\n".join(lines)) == conf


@settings(deadline=None)
@given(st.data(), confs())
def test_sections_say_the_same_in_any_order(data: st.DataObject, conf: PowerConf) -> None:
    lines = render(conf)
    starts = [number for number, line in enumerate(lines) if line.startswith("<")]
    sections = [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    shuffled = data.draw(st.permutations(sections))
    found = parse_nvpmodel_conf("\n".join(line for section in shuffled for line in section))
    assert found.default_id == conf.default_id
    assert set(found.modes) == set(conf.modes)
    assert {one.name: one for one in found.parameters} == {one.name: one for one in conf.parameters}


@settings(deadline=None)
@given(confs(), names, st.lists(st.text(" abc/=0", max_size=9), max_size=3))
def test_a_section_of_a_future_release_is_a_warning(conf: PowerConf, keyword: str, rows: list[str]) -> None:
    text = "\n".join([f"< X{keyword} LEVEL=3 >", *rows, *render(conf)])
    found = parse_nvpmodel_conf(text)
    assert found == conf
    assert len(found.warnings) == 1


PIECES = ["<", ">", "=", "#", " ", "\t", "\n", "\r", "\0", "-1", "99999999999999999999999", "PARAM", "POWER_MODEL"]
PIECES += ["PM_CONFIG", "FAN_CONFIG", "TYPE=CLOCK", "NAME=GPU", "ID=0", "DEFAULT=0", "MAX_FREQ", "/sys/x", "../x", "é"]
junk = st.one_of(
    st.text(max_size=300),
    st.binary(max_size=300).map(lambda raw: raw.decode("utf-8", "replace")),
    st.binary(max_size=300).map(lambda raw: raw.decode("latin-1")),
    st.lists(st.sampled_from(PIECES), max_size=60).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join),
)


def assert_read_or_refused(text: str) -> None:
    """Either a whole conf, or an error of one printable line whose mistakes all say what to do."""
    try:
        conf = parse_nvpmodel_conf(text)
    except ConfMistakesError as error:
        assert error.mistakes
        assert all(one.message and one.mend for one in error.mistakes)
        assert error.line().isprintable()
    else:
        assert conf.default is not None
        assert all(warning.isprintable() for warning in conf.warnings)
        assert all(path.startswith("/") for one in conf.parameters for path in one.paths.values())


@settings(max_examples=500)
@given(junk)
def test_junk_is_read_or_refused(text: str) -> None:
    assert_read_or_refused(text)


@settings(deadline=None)
@given(st.data(), confs(), junk)
def test_a_file_with_junk_in_it_is_read_or_refused(data: st.DataObject, conf: PowerConf, text: str) -> None:
    written = "\n".join(render(conf))
    start = data.draw(st.integers(0, len(written)))
    end = data.draw(st.integers(start, len(written)))
    assert_read_or_refused(written[:start] + text + written[end:])
