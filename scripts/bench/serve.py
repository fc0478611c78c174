# SPDX-License-Identifier: Apache-2.0
"""What a peer's program is made of: one request a line on stdin, one line of JSON each on the real stdout (bench/serve.h)."""
import json
import os
import sys
import time

# Libraries that print do it on stderr, not between the answers.
_answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def timed(work):
    """(milliseconds, result)"""
    start = time.perf_counter()
    result = work()
    return 1e3 * (time.perf_counter() - start), result


def say(answer):
    _answers.write(json.dumps(answer) + "\n")
    _answers.flush()


def serve(answers, **ready):
    say({"ready": True, **ready})
    for line in sys.stdin:
        verb, *words = line.split()
        try:
            say(answers[verb](*words))
        except Exception as error:  # a failed request is an answer; the driver writes it into the row
            say({"error": f"{verb}: {type(error).__name__}: {error}"[:500]})
