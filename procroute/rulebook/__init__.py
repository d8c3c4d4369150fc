"""Route rules: which programs, users and units find their way out by themselves, as TOML files say.

route_rule.py and subject.py: the types. shape.py: a file as it is written; schema.py: for editors.
reading.py: text to rules, of which sound.py says what their values cannot mean. folders.py: which files there
are, in which order, and trusted.py whether they can be trusted. matching.py: the first rule that a process
meets, and why others do not; by globs.py, and applications.py for what cgroups stand for. index.py: the same
among many. links.py: paths and what they lead to. owner.py: what a user may write. doubts.py: what is not
there. unreachable.py: rules that nobody meets. editing.py: text to text, comments kept. in_words.py: a rule
in short.
"""
