"""Commands for scripts: what the console does, once and without a screen.

They print tables for people and, with ``--json``, one JSON value for programs. Exit codes, of each of them: 0
done; 1 asked for in vain (nobody covers the place, no picture in time); 2 bad input or refused, with one line
on standard error; 130 interrupted.
"""
