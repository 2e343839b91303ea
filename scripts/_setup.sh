# shellcheck shell=bash
# Sourced by the other scripts. `setup run` makes .venv ready for optkit, `setup dev` for tests and checks as well.
# Exit codes are optkit's: 2 when nothing was done, 5 when an installation failed midway.
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
venv=$root/.venv
log=$root/.venv-setup.log
state=$venv/optkit-setup # One line that says what is installed; written last, so that an interrupted set-up is made again.

fail() {
  printf 'optkit: %s\n' "$2" >&2
  exit "$1"
}

# Prints "fit|no-venv|no-libc|unfit VERSION PATH" of one Python; nothing when it does not run.
probe() {
  "$1" -I -c '
import importlib.util, os, sys
try:
    libc = tuple(map(int, os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")))
except (AttributeError, OSError, ValueError):
    libc = (0,)
if sys.implementation.name != "cpython" or not (3, 11) <= sys.version_info < (3, 14) or "t" in sys.abiflags:
    kind = "unfit"
elif sys.maxsize < 2**32 or libc < (2, 28):
    kind = "no-libc"
elif not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
    kind = "no-venv"
else:
    kind = "fit"
print(kind, "%d.%d" % sys.version_info[:2], os.path.realpath(sys.executable))' 2>/dev/null
}

# Prints "VERSION PATH" of the Python to make .venv with.
choose_python() {
  local candidates=(python3 python3.13 python3.12 python3.11) candidate kind version path found='' lacking=''
  [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
  [[ $(uname -sm) =~ ^Linux\ (x86_64|aarch64)$ ]] ||
    fail 2 "the pinned packages are for Linux on x86-64 or aarch64, this is $(uname -sm); use such a machine or container"
  for candidate in "${candidates[@]}"; do
    read -r kind version path < <(probe "$candidate") || continue
    case $kind in
      fit) echo "$version $path" && return ;;
      no-libc) fail 2 "the pinned packages need 64-bit Python on glibc 2.28 or later, which $path is not; use a newer system" ;;
      no-venv) lacking=${lacking:-$version} ;;
    esac
    found+=" $candidate=$version"
  done
  [[ -z $lacking ]] ||
    fail 2 "Python $lacking has no venv and pip modules; install them (Debian, Ubuntu: apt install python$lacking-venv), then start again"
  fail 2 "needs CPython 3.11, 3.12 or 3.13 (found:${found:- none that runs}); install one, or name it: PYTHON=/path/to/python3.12"
}

# Prints the version of .venv's Python; fails when it does not run or is not the one that PYTHON asks for.
venv_version() {
  local version wanted
  version=$("$venv/bin/python" -ISc 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || return 1
  if [[ -n ${PYTHON:-} ]]; then
    read -r _ wanted _ < <(probe "$PYTHON") && [[ $version == "$wanted" ]] || return 1
  fi
  echo "$version"
}

installed() {
  local version
  version=$(venv_version) && [[ -r $state && $(<"$state") == "$version $root $digest "@("$1"|dev) ]]
}

install() {
  local pip=("$venv/bin/python" -I -m pip install --disable-pip-version-check) locks=(-r "$root/requirements/run.txt")
  [[ $1 == run ]] || locks+=(-r "$root/requirements/dev.txt")
  "${pip[@]}" --require-hashes "${locks[@]}" && "${pip[@]}" --no-build-isolation --no-deps --editable "$root"
}

setup() {
  local digest version python
  # Lock files, and of pyproject.toml what an installation depends on: version, commands.
  digest=$(cd "$root" && { sed '/^\[tool/,$d' pyproject.toml && cat requirements/run.txt requirements/dev.txt; } | sha256sum)
  digest=${digest%% *}
  ! installed "$1" || return 0
  { exec 9>>"$log"; } 2>/dev/null || fail 2 "cannot write $log, which setting up .venv needs; make the folder writable"
  flock -n 9 || { echo "Waiting for another start to finish setting up .venv…" >&2 && flock 9; }
  if ! installed "$1"; then
    : >"$log"
    # A whole .venv is kept, also one that was made by hand, and only what differs is installed.
    if version=$(venv_version) && [[ $version =~ ^3\.1[123]$ ]] && "$venv/bin/python" -I -m pip --version >>"$log" 2>&1 &&
      [[ ! -e $state || $(<"$state") == "$version $root "* ]]; then
      python=''
    else
      python=$(choose_python) || exit
      version=${python%% *}
      { rm -rf "$venv" && mkdir "$venv"; } || fail 5 "cannot make $venv; look at its permissions"
    fi
    echo "Setting up .venv (once, about a minute)…" >&2
    echo interrupted >"$state"
    [[ -z $python ]] || "${python#* }" -m venv "$venv" >>"$log" 2>&1 || setup_failed
    install "$1" >>"$log" 2>&1 || setup_failed
    echo "$version $root $digest $1" >"$state"
  fi
  exec 9>&-
}

setup_failed() {
  rm -f "$state" # pip that fails, unlike pip that is killed, leaves nothing half installed.
  tail -n 5 "$log" >&2
  fail 5 "could not set up .venv (all of the output: $log); check the network and the free disk space, then start again"
}
