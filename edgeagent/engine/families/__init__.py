"""The families of networks: how their outputs are recognised, read, and brought to one form. See docs/models.md."""
