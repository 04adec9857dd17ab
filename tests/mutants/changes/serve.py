"""Wrong changes to what is served."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("serve/guard.py", "serve/test_app.py")(
        (
            "if self._token is None and _name(host) not in LOOPBACK:",
            "if False:",
            "a stranger's page reaches the gallery under a name of its own",
        ),
        (
            'if kind.lower() != "bearer" or not is_right:',
            'if kind.lower() != "bearer":',
            "any token will do",
        ),
    ),
    *of("serve/batching.py", "serve/test_batching.py")(
        (
            "if future.done():  # its caller has gone",
            "if False:",
            "one client that leaves loses the answers of the others",
        ),
    ),
    *of("serve/embedder.py", "serve/test_batching.py")(
        (
            "key=lambda size: min(size, waiting) / self._seconds[size]",
            "key=lambda size: size / self._seconds[size]",
            "a call that is mostly empty is taken where several full ones are faster",
        ),
    ),
    *of("serve/forms.py", "serve/test_app.py")(
        (
            "if image.width * image.height > limits.MAX_PIXELS:",
            "if False:",
            "an upload of few bytes takes all memory",
        ),
    ),
]
