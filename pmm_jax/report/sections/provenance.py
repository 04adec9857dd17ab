"""How the run was made: command, config, seed, versions, machine, time and data."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pmm_jax.config import Config
from pmm_jax.data.records import SPLITS
from pmm_jax.data.split import Split
from pmm_jax.errors import UserError
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Content
from pmm_jax.workdir.run_config import data_fingerprint
from pmm_jax.workdir.sessions import read_sessions, recorded_differences


def build(run: RunData) -> Content:
    """What sessions.jsonl, config.json and the prepared data say of the run."""
    sessions, damaged = read_sessions(run.workdir)
    # One that only evaluated a finished run again made nothing of it.
    trained = [one for one in sessions if one.get("last_step") != one["first_step"]] or sessions
    latest = trained[-1] if trained else {}
    steps = [line["step"] for line in run.log]
    values = {
        "sessions": sessions,
        "damaged_lines": damaged,
        "command": latest.get("command"),
        "config": _config(run, latest),
        "seed": run.config.train.seed,
        "steps": latest.get("last_step", max(steps, default=0)),
        "seconds": sum(session.get("seconds", 0) for session in sessions),
        "without_end": sum("ended" not in session for session in sessions),
        "versions": latest.get("versions"),
        "machine": latest.get("machine"),
        "changes": list(_changes(trained)),
        "data": _data(run),
    }
    return Content(values, {})


def _config(run: RunData, latest: dict[str, Any]) -> dict[str, Any]:
    """Fields of the config that differ from the named one, or from the defaults."""
    if latest.get("fields") is not None:
        return {"named": latest["config"], "fields": latest["fields"]}
    return {"named": None, "fields": recorded_differences(Config(), run.config)}


def _changes(sessions: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What earlier sessions had otherwise than the latest: command, versions, machine."""
    for session in sessions[:-1]:
        old, new = _flat(session), _flat(sessions[-1])
        fields = {name: value for name, value in old.items() if value != new.get(name)}
        if fields:
            yield {"started": session["started"], "fields": fields}


def _flat(session: dict[str, Any]) -> dict[str, Any]:
    return {"command": session["command"]} | session["versions"] | session["machine"]


def _data(run: RunData) -> dict[str, Any]:
    found: dict[str, Any] = {"fingerprint": data_fingerprint(run.workdir), "missing": None}
    try:
        found["splits"] = {name: _counts(run.split(name)) for name in SPLITS}
    except UserError as error:
        found |= {"splits": {}, "missing": str(error)}
    return found


def _counts(split: Split) -> dict[str, int]:
    identities, cameras = split.identities, split.cameras
    # Where identities have names, 0 is one like any other.
    is_nobody = (identities == 0) & (split.name == "gallery" and not split.names)
    return {
        "images": len(split),
        "identities": len(np.unique(identities[~is_nobody])),
        "cameras": len(np.unique(cameras[cameras >= 0])),
        "distractors": int(is_nobody.sum()),
    }
