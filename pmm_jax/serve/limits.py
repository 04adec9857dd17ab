"""What a request may hold, and how long it may take."""

MAX_UPLOAD = 2**24
"""Bytes of an image file."""
MAX_BODY = MAX_UPLOAD + 2**16
"""Bytes of a request: an image, and the form around it."""
MAX_PIXELS = 2**24
"""Pixels of an image: 4,096 by 4,096, by its header and so before it is decoded."""
MAX_FIELDS = 8
"""Fields of a form."""
MAX_FIELD = 2**12
"""Bytes of a field that is no file."""
MAX_FILTER = 500
"""Characters of a filter."""
MAX_TOP = 1000
"""Results of a search."""
DEFAULT_TOP = 10
"""Likewise, where none is asked for."""
MAX_REQUESTS = 256
"""Requests with images that are read or answered at once; the next one is asked to come again."""
RETRY_SECONDS = 1
"""When to come again."""
MAX_CONNECTIONS = 1000
"""Open connections."""
HEADER_SECONDS = 10.0
"""For a request's first lines to come in whole."""
BODY_SECONDS = 30.0
"""For the rest of it, from its beginning."""
REQUEST_SECONDS = 120.0
"""For all of a request, its answer included."""
SHUTDOWN_SECONDS = 30
"""For the requests in flight when the server is told to end."""
