"""The commands that ask a running control plane, over its debug API.

``contexts`` knows where control planes are, ``client`` talks to one, ``tables`` is the pure part that makes rows of
messages, ``show`` prints them, ``commands`` are the commands themselves.
"""
