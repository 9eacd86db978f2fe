#!/bin/sh
# The page tests drive Debian's Chromium without its windows. Install that where it is missing; the
# whole browser, where it is there already, does as well but takes its time.
set -eu
if command -v chromium-headless-shell >/dev/null; then
    exit 0
fi
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
if ! { $sudo apt-get update --quiet &&
    $sudo apt-get install --yes --quiet --no-install-recommends chromium-headless-shell; }; then
    command -v chromium
fi
