"""Where the embedded chain lives: one SQLite file, written once per block.

The EVM keeps its trie in ``node``; blocks, transactions and logs are kept beside it as the JSON documents
that the RPC answers with, so that reading them costs a look-up and no decoding. A block and all that belongs
to it commit together: after SIGKILL the chain stands at the last whole block.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eth.db.backends.base import BaseDB

Document = dict[str, Any]

_SCHEMA = """
create table if not exists node (key blob primary key, value blob not null) without rowid;
create table if not exists block (
    number integer primary key, hash blob not null unique, document text not null
);
create table if not exists tx (
    hash blob primary key, block integer not null, document text not null, receipt text not null
) without rowid;
create table if not exists log (
    block integer not null, position integer not null, address blob not null,
    topic0 blob, topic1 blob, topic2 blob, topic3 blob, document text not null,
    primary key (block, position)
) without rowid;
create index if not exists log_address on log (address, topic0, block);
create table if not exists fact (name text primary key, value text not null) without rowid;
"""


class NodeStore(BaseDB):
    """The trie's key-value view of the file, as py-evm wants it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def __getitem__(self, key: bytes) -> bytes:
        row = self._execute("select value from node where key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        value: bytes = row[0]
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._execute("insert or replace into node values (?, ?)", (key, value))

    def __delitem__(self, key: bytes) -> None:
        if self._execute("delete from node where key = ?", (key,)).rowcount == 0:
            raise KeyError(key)

    def _exists(self, key: bytes) -> bool:
        return self._execute("select 1 from node where key = ?", (key,)).fetchone() is not None


class ChainStore:
    """All that the chain remembers; for one thread.

    Args:
        path: the file, made when it does not exist; None keeps the chain in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._connection = sqlite3.connect(path or ":memory:", timeout=1, isolation_level=None)
        self._connection.executescript(
            # survives the death of the process; a power cut may cost the last blocks, never the file
            "pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = normal;"
            + _SCHEMA
        )
        self.nodes = NodeStore(self._connection)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block commit, or none."""
        self._connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    # ---- facts: addresses and the like

    def fact(self, name: str) -> str | None:
        value: str | None = self._one("select value from fact where name = ?", name)
        return value

    def set_fact(self, name: str, value: str) -> None:
        self._connection.execute("insert or replace into fact values (?, ?)", (name, value))

    # ---- documents

    def add_block(self, document: Document) -> None:
        self._connection.execute(
            "insert into block values (?, ?, ?)",
            (int(document["number"], 16), _bytes(document["hash"]), json.dumps(document)),
        )

    def add_transaction(self, document: Document, receipt: Document) -> None:
        number = int(document["blockNumber"], 16)
        self._connection.execute(
            "insert into tx values (?, ?, ?, ?)",
            (_bytes(document["hash"]), number, json.dumps(document), json.dumps(receipt)),
        )
        for log in receipt["logs"]:
            topics = [_bytes(topic) for topic in log["topics"]]
            self._connection.execute(
                "insert into log values (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number,
                    int(log["logIndex"], 16),
                    _bytes(log["address"]),
                    *(topics + [None] * (4 - len(topics))),
                    json.dumps(log),
                ),
            )

    def block(self, number: int) -> Document | None:
        return _loaded(self._one("select document from block where number = ?", number))

    def block_number(self, block_hash: bytes) -> int | None:
        number: int | None = self._one("select number from block where hash = ?", block_hash)
        return number

    def transaction_document(self, tx_hash: bytes) -> Document | None:
        return _loaded(self._one("select document from tx where hash = ?", tx_hash))

    def receipt(self, tx_hash: bytes) -> Document | None:
        return _loaded(self._one("select receipt from tx where hash = ?", tx_hash))

    def logs(
        self, first: int, last: int, addresses: Sequence[bytes], topics: Sequence[Sequence[bytes] | None]
    ) -> list[Document]:
        """Logs of the blocks ``first`` to ``last``, in order; an empty or absent choice admits everything."""
        where, values = ["block between ? and ?"], [first, last]
        choices = [("address", addresses), *((f"topic{i}", choice) for i, choice in enumerate(topics))]
        for column, choice in choices:
            if choice:
                where.append(f"{column} in ({','.join('?' * len(choice))})")
                values.extend(choice)  # type: ignore[arg-type]
        statement = f"select document from log where {' and '.join(where)} order by block, position"  # noqa: S608
        return [json.loads(row[0]) for row in self._connection.execute(statement, values)]

    def _one(self, statement: str, value: object) -> Any:
        row = self._connection.execute(statement, (value,)).fetchone()
        return None if row is None else row[0]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _loaded(text: str | None) -> Document | None:
    if text is None:
        return None
    document: Document = json.loads(text)
    return document
