"""The approval console. Start at `app.py`; `session.py` says where data comes from, `decisions.py` what is signed."""
