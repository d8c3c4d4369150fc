"""Observe, plan, apply, verify, under one lock; launch a command and stay with it."""
