#!/bin/sh
# Makes sure that there is a Chromium for the journeys: the one named by TIDEGATE_CHROMIUM, else Debian's.
set -eu
chromium="${TIDEGATE_CHROMIUM:-/usr/bin/chromium}"
[ -x "$chromium" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing chromium (it was not found at $chromium)"
  apt-get update -q && apt-get install -y -q --no-install-recommends chromium
else
  echo "There is no Chromium at $chromium. Install it (on Debian: sudo apt-get install chromium)," >&2
  echo "or say where it is: TIDEGATE_CHROMIUM=/path/to/chromium make browser" >&2
  exit 1
fi
