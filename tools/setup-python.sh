#!/bin/sh
# Make the virtual environment; on a Debian that lacks venv, install it first.
set -eu
python="$1" venv="$2"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Tiproom needs Python 3.11 or newer; $python is older." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    $sudo apt-get update --quiet
    $sudo apt-get install --yes --quiet --no-install-recommends python3-venv
fi
[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
