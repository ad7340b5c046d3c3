"""What the road costs, measured against baselines in the same run. Start with `run.py`; `README.md` explains the figures."""
