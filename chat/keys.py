"""Every Redis key and channel of the room: its type, life and owner. live's are in `live/store/keys.py`.

All keys of a room share the hash tag `{room}`, so that one script may touch them on a cluster, and its channel is a
sharded one (SPUBLISH, server 7 or newer).

key                        type    life                   owner
c:{room}:head              hash    until rebuilt          bus        epoch, seq, run (lua/epoch.lua), viewers
c:{room}:log               hash    last 10,000 numbers    bus        seq -> the envelope's bytes
c:{room}:lines             zset    last 200 lines         bus        seq by seq: what a join replays
c:{room}:by:<person>       zset    1 day from a line      bus        seqs of her lines, for a ban
c:{room}:op:<person>:<op>  string  10 minutes             bus        first answer of line.post
c:{room}:pace:<person>     zset    60 s from a line       talk       op by ms: flood and slow mode
c:{room}:said:<person>     list    60 s from a line       talk       match keys of her last 6 lines, by ms
c:{room}:own:<person>      list    1 day from a line      talk       what a shadow-banned person said: hers alone
c:{room}:asked             hash    1 day from a question  talk       person -> what she asked, shadow-banned: hers alone
c:{room}:pinned            string  until taken down       talk       the pinned line
c:{room}:pins              zset    30 days from a pin     talk       seqs of pins: a removal takes their text along
c:{room}:questions         hash    until rebuilt          questions  id -> question
c:{room}:silences          hash    until rebuilt          moderation p:<person>, d:<device> -> silence, n:<network> ->
                                                                     until, since, person; `loaded`, `turn`
c:{room}:terms             hash    until rebuilt          moderation term -> kind; "" marks it as loaded
c:{room}:mode              hash    until rebuilt          moderation the fields of Mode
c:{room}:cases             hash    until decided          moderation id -> held line or question, as it came up
c:{room}:reports           hash    until decided          moderation id -> reported line, with the number of reports
c:{room}:appeals           hash    until decided          moderation id -> appeal
c:{room}:claims            hash    1 day from a claim     moderation case -> until, person, name
c:{room}:decided           hash    1 day from a decision  moderation case -> verdict, name
c:{room}:rep:<line>        set     1 day from a report    moderation who reported the line: persons, networks of the new
c:{room}:raised:<who>      string  10 minutes             moderation cases that a person or network raised by reports
c:{room}:taken             hash    30 days from a removal moderation what was taken out and is not in the archive yet
c:{room}:spent:<what>:<person>  string  10 to 3,600 s     moderation reports, appeals, names of one person
c:{room}:hearts            hash    60 s from a heart      talk       n not sent yet, ms of the last sending
c:{room}:service           hash    1 day from a change    switchboard switch -> "on", "off" or "auto": staff's choice
c:{room}:who               hash    1 day from a join      hub        person -> device, name, roles, network, …
c:{room}:crew              hash    1 day from a join      hub        person -> name, of moderators, hosts and staff
c:{room}:here              zset    while anyone is in     hub        process id by the ms its beat runs out
c:{room}:here:<process>    set     8 s from the beat      hub        persons with a socket on that process
c:{room}:bus               channel -                      bus        events, hints, tells
c:{revoked}:log            zset    1 hour                 bus        revoked sessions and persons by ms
c:{revoked}:bus            channel -                      bus        the same, as they happen
"""

from __future__ import annotations


def head(room: str) -> str:
    return f"c:{{{room}}}:head"


def log(room: str) -> str:
    return f"c:{{{room}}}:log"


def lines(room: str) -> str:
    return f"c:{{{room}}}:lines"


def lines_by(room: str, person: str) -> str:
    return f"c:{{{room}}}:by:{person}"


def op(room: str, person: str, op_id: str) -> str:
    return f"c:{{{room}}}:op:{person}:{op_id}"


def pace(room: str, person: str) -> str:
    return f"c:{{{room}}}:pace:{person}"


def said(room: str, person: str) -> str:
    return f"c:{{{room}}}:said:{person}"


def own(room: str, person: str) -> str:
    return f"c:{{{room}}}:own:{person}"


def asked(room: str) -> str:
    return f"c:{{{room}}}:asked"


def pinned(room: str) -> str:
    return f"c:{{{room}}}:pinned"


def pins(room: str) -> str:
    return f"c:{{{room}}}:pins"


def questions(room: str) -> str:
    return f"c:{{{room}}}:questions"


def cases(room: str) -> str:
    return f"c:{{{room}}}:cases"


def reports(room: str) -> str:
    return f"c:{{{room}}}:reports"


def appeals(room: str) -> str:
    return f"c:{{{room}}}:appeals"


def raised(room: str, who: str) -> str:
    return f"c:{{{room}}}:raised:{who}"


def spent(room: str, what: str, person: str) -> str:
    return f"c:{{{room}}}:spent:{what}:{person}"


def taken(room: str) -> str:
    return f"c:{{{room}}}:taken"


def claims(room: str) -> str:
    return f"c:{{{room}}}:claims"


def decided(room: str) -> str:
    return f"c:{{{room}}}:decided"


def reporters(room: str, line: str) -> str:
    return f"c:{{{room}}}:rep:{line}"


def hearts(room: str) -> str:
    return f"c:{{{room}}}:hearts"


def silences(room: str) -> str:
    return f"c:{{{room}}}:silences"


def terms(room: str) -> str:
    return f"c:{{{room}}}:terms"


def mode(room: str) -> str:
    return f"c:{{{room}}}:mode"


def service(room: str) -> str:
    return f"c:{{{room}}}:service"


def who(room: str) -> str:
    return f"c:{{{room}}}:who"


def crew(room: str) -> str:
    return f"c:{{{room}}}:crew"


def here(room: str) -> str:
    return f"c:{{{room}}}:here"


def here_on(room: str, process: str) -> str:
    return f"c:{{{room}}}:here:{process}"


def channel(room: str) -> str:
    return f"c:{{{room}}}:bus"


def room_of(channel_name: str) -> str:
    """The room of a `channel`."""
    return channel_name.removeprefix("c:{").removesuffix("}:bus")


REVOKED = "c:{revoked}:log"
REVOKED_CHANNEL = "c:{revoked}:bus"
