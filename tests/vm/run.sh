#!/usr/bin/env bash
# In the virtual machine, as root: the tests that its kernel is there for. tests.txt holds the arguments of pytest.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=/var/tmp/hypothesis
printf 'Linux %s, Python %s\n' "$(uname -r)" "$(python3 -c 'import platform; print(platform.python_version())')"
python3 -m compileall -q procroute tests  # once, not at every start of a process
# everything takes 10 times as long as on a processor
mapfile -t arguments <tests.txt
exec python3 -m pytest -p no:cacheprovider --timeout 600 -v --tb short "${arguments[@]}"
