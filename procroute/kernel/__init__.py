"""Effects: the only code that touches Linux."""
