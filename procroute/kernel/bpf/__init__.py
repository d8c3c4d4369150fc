"""The BPF programs of a route: C sources, the objects made of them by `make bpf`, and their layouts."""
