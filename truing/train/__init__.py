"""Training algorithms, one file each: configuration, assembly, loop."""
