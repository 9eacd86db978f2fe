#!/bin/sh
# The page tests drive the Debian Chromium; install it where it is missing.
set -eu
if command -v chromium >/dev/null; then
    exit 0
fi
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
$sudo apt-get update --quiet
$sudo apt-get install --yes --quiet --no-install-recommends chromium
