"""The operator's side of MQTT: a table of the whole fleet, settings and commands, each waiting for its answer.

Nothing in here runs on a device. The room stands on `edgeagent.fleet` alone: what a console knows of a device is what
came over MQTT, as for any dashboard.
"""
