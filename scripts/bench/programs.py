# SPDX-License-Identifier: Apache-2.0
"""Programs that answer one request a line (bench/serve.h, serve.py), and how they take turns."""
import json
import queue
import subprocess
import threading


class ProgramError(Exception):
    """What went wrong, in a sentence that fits into a row."""


class Program:
    def __init__(self, name, command, environment, timeout=600):
        self.name, self.timeout = name, timeout
        self._lines, self._errors = queue.Queue(), []
        try:
            self._process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        except OSError as error:
            raise ProgramError(f"{name}: {error}") from error
        readers = ((self._process.stdout, self._lines.put), (self._process.stderr, self._errors.append))
        self._threads = [threading.Thread(target=self._read, args=reader, daemon=True) for reader in readers]
        for thread in self._threads:
            thread.start()
        self.pid = self._process.pid
        self.ready = self._answer()

    def _read(self, stream, take):
        with stream:
            for line in stream:
                take(line)
        take("")

    def _answer(self):
        try:
            line = self._lines.get(timeout=self.timeout)
        except queue.Empty:
            self.close()
            raise ProgramError(f"{self.name}: no answer within {self.timeout} s") from None
        try:
            answer = json.loads(line)
        except ValueError:
            code = self._process.wait() if line == "" else "none"
            self._threads[1].join(timeout=5)
            told = [text.strip() for text in self._errors if text.strip()]
            self.close()
            raise ProgramError(f"{self.name}: ended with code {code}: {(told or ['no message'])[-1][:200]}") from None
        if "error" in answer:
            raise ProgramError(f"{self.name}: {answer['error']}")
        return answer

    def ask(self, *words):
        try:
            self._process.stdin.write(" ".join(str(word) for word in words) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass  # its end says why
        return self._answer()

    def close(self):
        try:
            self._process.stdin.close()  # the end of its requests
            self._process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(timeout=5)


def take_turns(rounds, sides, prepare, ask, failed):
    """Lets every side answer in each round, every second round in reverse order, so that no side always comes first.

    prepare(round) makes what the sides are asked; ask(side, round) gives its times, a list. Round 0 warms up and does not
    count; a judge, whose output others are compared with, answers in that one alone. A side that fails leaves: failed[name]
    says why. Returns {name: times of the rounds that count}.
    """
    times = {side.name: [] for side in sides}
    for number in range(rounds + 1):
        prepare(number)
        for side in (sides if number % 2 == 0 else sides[::-1]):
            if side.name in failed or (side.judge and number > 0):
                continue
            try:
                answered = ask(side, number)
            except ProgramError as error:
                failed[side.name] = str(error)
                continue
            if number > 0:
                times[side.name].append(answered)
    return {name: [t for turn in turns for t in turn] for name, turns in times.items() if turns and name not in failed}
