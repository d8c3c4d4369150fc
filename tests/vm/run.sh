#!/usr/bin/env bash
# In the virtual machine, as root: the tests that its kernel is there for. tests.txt holds the arguments of pytest.
set -euo pipefail
# HOME: without it every Python asks for root's entry in passwd, and so nscd, where a test has one.
export PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=/var/tmp/hypothesis HOME=/root
export PROCROUTE_LAB_PATIENCE=20  # everything takes 10 times as long as on a processor, or twice that beside other work
printf 'Linux %s, nft %s, systemd %s, Python %s\n' "$(uname -r)" "$(nft --version | sed 's/^nftables v\([^ ]*\).*/\1/')" \
    "$(systemctl --version | sed -n 's/^systemd \([0-9]*\).*/\1/p')" "$(python3 -c 'import platform; print(platform.python_version())')"
modprobe nf_conntrack  # its sysctls appear in every namespace when somebody needs it first: not while a test compares
python3 -m compileall -q procroute tests  # once, not at every start of a process
mapfile -t arguments <tests.txt
exec python3 -m pytest -p no:cacheprovider -p tests.vm.cases --timeout 1200 -n 2 --dist worksteal -v --tb short "${arguments[@]}"
