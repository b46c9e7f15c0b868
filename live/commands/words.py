"""Expected failures as sentences that say what to do."""

from __future__ import annotations

from live.errors import Error, StoreDown

FAILED, STARTED_WRONGLY = 1, 2


def words(error: Error) -> tuple[str, int]:
    """An expected failure as a sentence that says what to do, and the exit code."""
    facts = error.facts
    match error.code:
        case "no_store_server":
            return (
                "No embedded store for this machine: "
                f"{facts['why']}. Install valkey-server or redis-server 7 or newer, or set REDIS_URL.",
                STARTED_WRONGLY,
            )
        case "folder_not_writable":
            return (
                f"Can't write in {facts['path']}: {facts['why']}. Set FRONTROW_DATA_DIR to another folder.",
                STARTED_WRONGLY,
            )
        case "store_corrupt":
            return (
                f"The embedded store's file in {facts['path']} is damaged, so it does not start. Copy the folder, then "
                f"let redis-check-aof cut the file at its first bad byte:\n  {facts['repair']}",
                STARTED_WRONGLY,
            )
        case "store_too_old":
            return (
                f"The embedded store's data was written by a newer server than {facts['server']} {facts['version']}. "
                "Update that one, or take it off the PATH so that the bundled one is used.",
                STARTED_WRONGLY,
            )
        case "store_wont_start":
            return f"The embedded store {facts['server']} does not start. It says:\n{facts['log']}", FAILED
        case "backup_unreadable":
            return f"Can't restore from {facts['path']}: {facts['why']}. The store is as it was.", FAILED
        case "not_found":
            return f"There is no {facts['what']} {facts['which']}.", FAILED
        case "conflict":
            return f"That can't be: {facts['why'].replace('_', ' ')}.", FAILED
        case "invalid":
            return f"The {facts['field']} is wrong: {facts['why'].replace('_', ' ')}.", FAILED
        case "unplayable":
            return f"Can't play {facts['path']}: {facts['why']}.", STARTED_WRONGLY
        case "publish_refused":
            said = {
                401: "the key is not right. The host's page shows the show's key.",
                403: "the key belongs to another show.",
                404: "there is no such show.",
            }
            return f"{facts['url']} refuses: {said.get(facts['status'], 'it answers ' + str(facts['status']))}", FAILED
    if isinstance(error, StoreDown):
        setting = "REDIS_URL" if facts["store"] == "redis" else "DATABASE_URL"
        return f"The {facts['store']} store does not answer. Check that it runs, and {setting}.", FAILED
    return f"{error.code.replace('_', ' ')}: " + ", ".join(f"{name} {value}" for name, value in facts.items()), FAILED
