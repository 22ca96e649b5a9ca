"""Clients of plain HTTP."""

import ssl

#: For ``verify``: without it each client of httpx reads the machine's list of authorities, which takes some 30 ms.
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
