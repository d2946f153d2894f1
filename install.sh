#!/usr/bin/env bash
# CaMML with all that training, evaluation and serving need, in the Python that is active:
#   conda create -n camml python=3.11 -y && conda activate camml && bash install.sh
# What stands behind it goes to pip. Versions are those that the tests run with.
set -euo pipefail
cd "$(dirname "$0")"

python=${PYTHON:-python}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "install.sh: this is $("$python" -V 2>&1), and CaMML needs 3.11 or newer: conda create -n camml python=3.11" >&2
    exit 2
fi
"$python" -m pip install --constraint constraints.txt --editable '.[train,train-deepspeed,eval,serve]' "$@"
