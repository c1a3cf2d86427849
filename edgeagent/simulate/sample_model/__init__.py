"""The sample model: a small detector of the parts that `edgeagent.simulate.scenes` draws, and how it was made.

`conveyor.onnx`, `model.toml` and `scores.json` are what the service uses. The Python files here make them again:
`python -m edgeagent.simulate.sample_model.train --out DIRECTORY` (needs torch, which the service never does).
"""
