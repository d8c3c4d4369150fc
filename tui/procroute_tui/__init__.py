"""The terminal application: every process and its way out, and two keys to change it. For: procroute tui.

A client of procrouted like any other. What is shown is decided in `model`, without Textual; the rest
draws it.
"""
