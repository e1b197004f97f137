"""A loopback server that speaks Anthropic's Messages, OpenAI's Responses and chat completions, with faults by name.

It runs in a process of its own (`python -m benchmarks.stub` prints its address; it ends with its standard input), so
that it takes no time of whom it answers. What it does is told by the model's name, `knobs.py`; what can go wrong is in
`faults.py`; the process that asks holds on to it by `handle.Stub`.
"""
