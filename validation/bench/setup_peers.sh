#!/bin/sh
# Make the environments of the tools we compare with, each in a virtual environment of its own:
#     validation/bench/setup_peers.sh DIR [PYTHON]
# pyhf (with jax and minuit), NextStat (AGPL: an opponent in its own process, never a dependency), and ROOT's wheel (CPython 3.11 only).
# An environment that exists already is left alone; a tool that cannot be installed is reported and skipped.
set -u
directory=${1:?usage: setup_peers.sh DIR [PYTHON]}
python=${2:-python3}

make() {
    name=$1
    shift
    if [ -x "$directory/$name/bin/python" ]; then
        echo "$name: there already"
    elif "$python" -m venv "$directory/$name" && "$directory/$name/bin/pip" install --quiet "$@"; then
        echo "$name: made"
    else
        rm -rf "${directory:?}/$name"
        echo "$name: could not be installed, left out" >&2
    fi
}

mkdir -p "$directory"
make pyhf "pyhf==0.7.6" iminuit jax
make nextstat nextstat numpy
make root "root==0.1a12" numpy
