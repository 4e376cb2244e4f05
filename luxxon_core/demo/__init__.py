"""The whole product by one command: ``luxxon demo``.

A consumer asks for a place, an operator's camera goes live over WebRTC, the meter runs and the money moves
on a chain. Everything goes through the public API and standard JSON-RPC, as it would between strangers.
"""
