"""Route rules: which programs, users and units find their way out by themselves, as TOML files say.

route_rule.py and subject.py: the types. shape.py: a file as it is written. reading.py: text to rules.
folders.py: which files there are, in which order, and whether they can be trusted. matching.py: the first
rule that a process meets, and why others do not. links.py: paths and what
they lead to. editing.py: text to text, comments kept.
"""
