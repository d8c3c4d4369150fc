"""What TOML files of ours have in common: the lines of keys, words for what is wrong, options of routes."""
