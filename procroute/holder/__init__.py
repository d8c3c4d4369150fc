"""The holder: a small process that has the kernel hold execs of rules' files until the daemon placed them.

It outlives the daemon, imports nothing but the standard library and what it needs of kernel and core, and
never lets anybody wait for a second. words.py: what it and the daemon say to each other; link.py: the
daemon's side.
"""
