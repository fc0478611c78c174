# SPDX-License-Identifier: Apache-2.0
"""The common run of a case: new inputs each round, each side in turn, outputs compared once."""
from programs import take_turns
from setting import OURS


def run_case(setting, sides, failed, make_input, reference):
    """(times by side, distance of each side's output from the reference side's).

    make_input(round, file) writes what all sides of a round get. What the sides write in round 0 our program compares
    with what the side named `reference` wrote.
    """
    given = setting.folder / "input.safetensors"
    files = {side.name: setting.folder / f"output{i}.safetensors" for i, side in enumerate(sides)}
    times = take_turns(setting.rounds, sides, lambda number: make_input(number, given),
                       lambda side, number: side.program.ask(side.verb, given, files[side.name] if number == 0 else "-")["values"], failed)
    ours = next((side.program for side in sides if side.name == OURS), None)
    away = {}
    if reference in files and files[reference].exists() and ours:
        away = {name: ours.ask("compare", files[name], files[reference])["relative_rms"] for name in times if name != reference}
    for file in [given, *files.values()]:
        file.unlink(missing_ok=True)
    return times, away


def told(away):
    """The distances as a row holds them: ours, and those of peers."""
    return {"relative_difference": away.get(OURS), "peer_difference": {name: value for name, value in away.items() if name != OURS}}
