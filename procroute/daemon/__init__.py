"""The daemon: assigns processes for whoever may ask, and keeps the kernel as it should be."""
