"""What can be said of a DLA without having one: support table, planner, fallback budget.

The table is a filter, not an oracle. On a device TensorRT's `can_run_on_DLA` decides for each layer, and the DLA's
compiler for the combination.
"""
