"""The command line: arguments in, exit status out (0 done, 1 the job failed, 2 wrong use).

One module a command. It may use everything; nothing uses it.
"""
