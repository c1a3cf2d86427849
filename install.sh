#!/usr/bin/env bash
# edgeagent's one entry point.
#
# On a device, as root (docs/install.md):
#   ./install.sh                      install, or complete or repeat an installation; changes nothing where all is done
#     --config FILE                   these settings, on the first install; or
#     --broker URL  --fleet NAME      the template's with these two
#   ./install.sh --upgrade            to this checkout's release; back to the old one by itself where it is not healthy
#   ./install.sh --rollback           to the release before
#   ./install.sh --uninstall          leaves settings and data;  --purge leaves nothing
#   ./install.sh --bundle FILE        write an archive that installs without a network (needs no root)
#     --arch aarch64 --python 3.10,3.12
#     --offline ARCHIVE               install or upgrade from it
#     --dry-run                       say what would be changed, and change nothing
#     --any-host                      this need not be a Jetson
#     --board-root DIR                the board's files are in DIR: a virtual Jetson
#     --healthy-within S              how long a release may take until it is healthy (90)
#
# In this directory, without root:
#   ./install.sh --demo [ARGUMENTS]   set everything up in .venv and run the main job on a virtual Jetson
#   ./install.sh --test [ARGUMENTS]   set everything up and run the tests (arguments go to pytest)
#   ./install.sh --setup              only set everything up
#   ./install.sh --help
#
# For the last group: nothing is written outside this directory. As root, --test installs the Debian package mosquitto
# where it is missing; without it, the tests that need a real broker say so and are skipped.
# PYTHON=/path/to/python3 chooses their interpreter and that of --bundle (3.10 or newer).
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
venv=$here/.venv
stamp=$venv/.edgeagent-stamp

say() { printf 'install.sh: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

usage() { sed -n '2,/^set -euo/{/^set -euo/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

# The first interpreter that is new enough: $PYTHON, python3, then the versioned names.
find_python() {
  local name base
  local -a names=(python3 python3.13 python3.12 python3.11 python3.10)
  [ -z "${PYTHON:-}" ] || names=("$PYTHON")
  for name in "${names[@]}"; do
    # The interpreter behind a virtual environment: ours may be active, and it is about to be made anew.
    base=$("$name" -c 'import sys; print(sys._base_executable if sys.version_info >= (3, 10) else "")' 2>/dev/null) || continue
    if [ -n "$base" ]; then
      printf '%s\n' "$base"
      return
    fi
  done
  [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is no Python 3.10 or newer"
  fail "no Python 3.10 or newer here; on Debian and Ubuntu: sudo apt install python3 python3-venv"
}

# What the set-up depends on: when it changes, the set-up is done again.
fingerprint() {
  {
    printf '%s\n' "$1" "$2" "$here"
    "$1" -c 'import sys; print(sys.version)'
    cat "$here/pyproject.toml" "$here/uv.lock"
  } | sha256sum | cut -d' ' -f1
}

# A virtual environment in .venv, with pip in it if that is to be had.
make_venv() {
  local python=$1 version
  rm -rf "$venv"
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  if "$python" -m venv "$venv" >/dev/null 2>&1; then return; fi
  rm -rf "$venv"
  if { "$python" -m pip --version >/dev/null 2>&1 && "$python" -m venv --without-pip "$venv" >/dev/null 2>&1; } ||
    { command -v uv >/dev/null 2>&1 && uv venv -q --python "$python" "$venv"; } ||
    "$python" -m virtualenv -q "$venv" >/dev/null 2>&1; then
    say "getting on without Debian's package python$version-venv, which is missing here"
    return
  fi
  rm -rf "$venv"
  fail "Python cannot make a virtual environment: the package python$version-venv is missing. \
Get it with: sudo apt install python$version-venv"
}

# pip for the environment: its own, or the system's pointed at it.
pip_into_venv() {
  if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    "$venv/bin/python" -m pip --disable-pip-version-check --no-cache-dir "$@"
  else
    "$base_python" -m pip --python "$venv/bin/python" --disable-pip-version-check --no-cache-dir "$@"
  fi
}

# The locked versions with uv; what pip resolves where uv cannot be had or cannot reach what the lock names.
install_packages() {
  local group=$1 uv=uv
  local -a sync=(sync --quiet --frozen --inexact --extra demo --no-default-groups)
  [ "$group" = dev ] && sync+=(--group dev)
  if ! command -v uv >/dev/null 2>&1; then
    pip_into_venv install --quiet uv || say "uv is not to be had, pip resolves the versions"
    uv=$venv/bin/uv
  fi
  if command -v "$uv" >/dev/null 2>&1; then
    if (cd "$here" && UV_PROJECT_ENVIRONMENT=$venv UV_CACHE_DIR=$venv/.uv-cache UV_PYTHON_DOWNLOADS=never \
      VIRTUAL_ENV='' "$uv" "${sync[@]}" --python "$venv/bin/python"); then
      rm -rf "$venv/.uv-cache"
      return
    fi
    rm -rf "$venv/.uv-cache"
    say "the locked versions could not be installed, pip resolves them anew"
  fi
  local -a wanted=(-e "${here}[demo]")
  if [ "$group" = dev ]; then
    mapfile -t -O 2 wanted < <("$venv/bin/python" "$here/.ci/dev_requirements.py" "$here/pyproject.toml")
  fi
  pip_into_venv install --quiet "${wanted[@]}" || fail "the packages could not be installed; is there a network?"
}

# Everything in .venv, for `demo` or `dev`. Does nothing when it is there already.
set_up() {
  local group=$1 mark
  [ -f "$here/uv.lock" ] || fail "$here is no checkout: --demo, --test and --setup need one"
  exec 9<"${BASH_SOURCE[0]}"
  if command -v flock >/dev/null 2>&1; then flock 9; fi
  base_python=$(find_python)
  mark=$(fingerprint "$base_python" demo)
  if [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$mark" ] && { [ "$group" = demo ] || grep -qx dev "$stamp"; }; then
    exec 9<&-
    return
  fi
  if ! { [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$mark" ]; }; then
    say "setting up .venv with $base_python (once; needs the network and about 500 MB)"
    make_venv "$base_python"
  fi
  install_packages "$group"
  printf '%s\n%s\n' "$mark" "$group" >"$stamp.new"
  mv "$stamp.new" "$stamp"
  exec 9<&-
}

provide_mosquitto() {
  if command -v mosquitto >/dev/null 2>&1 || [ -x /usr/sbin/mosquitto ]; then return; fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing mosquitto (Debian package)"
    if (export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qq install -y mosquitto mosquitto-clients) \
      >/dev/null 2>&1 </dev/null; then return; fi
  fi
  say "mosquitto is not installed: the tests that need it will be skipped (sudo apt install mosquitto mosquitto-clients)"
}

# The system's own Python, whose TensorRT and OpenCV a release shares. The rest is edgeagent/install, in Python.
on_device() {
  local python=/usr/bin/python3 release=/etc/nv_tegra_release
  case $(sed -n 's/^# R\([0-9]*\) .*/\1/p' "$release" 2>/dev/null) in
    2? | 3[0-3]) fail "this is JetPack 4 or older, whose TensorRT speaks to Python 3.6 only; edgeagent supports JetPack 6 and 7" ;;
    34 | 35) fail "this is JetPack 5, whose TensorRT speaks to Python 3.8 only; edgeagent supports JetPack 6 and 7" ;;
  esac
  [ -x "$python" ] || fail "there is no $python; on Debian and Ubuntu: sudo apt install python3 python3-venv"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$("$python" --version) is too old: edgeagent needs 3.10 or newer, as JetPack 6 and 7 have"
  /bin/pwd >/dev/null 2>&1 || cd /  # the directory that we are called in has been removed
  umask 022  # the agent's user reads what root makes here
  exec "$python" -I "$here/edgeagent/install/run.py" "$@"
}

make_bundle() {
  local python
  python=$(find_python)
  "$python" -m pip --version >/dev/null 2>&1 || fail "$python has no pip, which fetches the wheels; set PYTHON="
  exec "$python" -I "$here/edgeagent/install/run.py" "$@"
}

case ${1:-} in
  --demo)
    shift
    set_up demo
    exec "$venv/bin/python" -m edgeagent demo "$@"
    ;;
  --test)
    shift
    set_up dev
    provide_mosquitto
    cd "$here"
    exec "$venv/bin/python" -m pytest "$@"
    ;;
  --setup) set_up demo ;;
  --help | -h) usage ;;
  *)
    case " $* " in
      *" --bundle "* | *" --bundle="*) make_bundle "$@" ;;
      *) on_device "$@" ;;
    esac
    ;;
esac
