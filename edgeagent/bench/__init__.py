"""`edgeagent bench`: how fast the loop is, how fast it could be, and what a frame costs.

Four measurements of one engine, each with more of the agent around it: the engine alone, the session, the infer child
over a ring that is never empty, and cameras to MQTT. Nothing in the agent knows of this room.
"""
