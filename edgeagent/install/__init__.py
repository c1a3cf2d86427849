"""Putting edgeagent on a device: install, upgrade, return, removal. What install.sh is the front of.

Runs with the device's own python3 before anything is installed, so it stands on the standard library alone and imports
no other room of the package. Decisions (`checks`, `verdict`, `packages`, `options`) are pure; `System` is the one
place that changes anything.
"""
