"""The ledger's index: which artifacts exist, which key made them, which rows they hold. SQLite now, by SQLAlchemy Core.

Manifests and files are in the artifacts' folders. Rows, times and code versions are here only: keep a copy of both.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    exists,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from truing.core.errors import RunError
from truing.ledger.artifacts import Artifact

SCHEMA_VERSION = 1
_AT_ONCE = 10_000  # rows of one insertion: an artifact may hold a million
_metadata = MetaData()
_meta = Table("meta", _metadata, Column("name", String, primary_key=True), Column("value", String, nullable=False))
_artifacts = Table(
    "artifacts",
    _metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("key", String(64), index=True),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False, index=True),
    Column("record", Text, nullable=False),
)
_rows = Table(
    "rows",
    _metadata,
    Column("artifact", String(64), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("row_id", String, nullable=False, index=True),
    Column("row_sha256", String(64), nullable=False, index=True),
)
Index("artifacts_by_kind", _artifacts.c.kind)


def open_database(path: Path) -> Engine:
    """Open (or make) the index. Raises `RunError` if the file is no database or was made by a later version."""
    # Every connection is closed after its use: no handle survives a fork, and none is left to the garbage collector.
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _prepare(connection, _record) -> None:  # type: ignore[no-untyped-def]
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout=30000")  # milliseconds; first, since changing to WAL may have to wait too
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    try:
        with engine.begin() as connection:
            found = _create(connection)
    except DatabaseError as error:
        raise RunError(
            f"{path}: the ledger's database cannot be opened ({error.orig}); restore it from a copy"
        ) from None
    if int(found) > SCHEMA_VERSION:
        raise RunError(f"{path}: made by a newer truing (schema {found}, known {SCHEMA_VERSION}); update truing")
    return engine


def _create(connection: Connection) -> str:
    """Make what is missing; returns the schema's version. Safe when two processes open a new ledger at once."""
    for table in _metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    known = exists().where(_meta.c.name == "schema")
    first = select(literal("schema"), literal(str(SCHEMA_VERSION))).where(~known)
    connection.execute(_meta.insert().from_select(["name", "value"], first))
    return str(connection.execute(select(_meta.c.value).where(_meta.c.name == "schema")).scalar_one())


def add(connection: Connection, artifact: Artifact, rows: Iterable[tuple[str, str]]) -> None:
    """Record an artifact and its rows. Recording it again makes it the newest of its name, with the new time and code
    version; the rows recorded first stay."""
    connection.execute(_artifacts.delete().where(_artifacts.c.id == artifact.id))
    connection.execute(
        _artifacts.insert().values(
            id=artifact.id, key=artifact.key, kind=artifact.kind, name=artifact.name, record=artifact.model_dump_json()
        )
    )
    if connection.execute(select(exists().where(_rows.c.artifact == artifact.id))).scalar_one():
        return
    values = (
        {"artifact": artifact.id, "place": place, "row_id": row_id, "row_sha256": sha}
        for place, (row_id, sha) in enumerate(rows)
    )
    while some := list(itertools.islice(values, _AT_ONCE)):
        connection.execute(_rows.insert(), some)


def touch(connection: Connection, identity: str) -> None:
    """Make an artifact the newest, as it is."""
    newest = select(func.max(_artifacts.c.number) + 1).scalar_subquery()
    connection.execute(_artifacts.update().where(_artifacts.c.id == identity).values(number=newest))


def by_key(connection: Connection, key: str) -> list[Artifact]:
    """Artifacts made from these inputs, newest first."""
    return _read(connection, _artifacts.c.key == key)


def by_reference(connection: Connection, reference: str) -> list[Artifact]:
    """Artifacts whose id begins so, or whose name it is; newest first."""
    return _read(connection, _artifacts.c.id.startswith(reference, autoescape=True) | (_artifacts.c.name == reference))


def all_artifacts(connection: Connection, kind: str | None = None, limit: int | None = None) -> list[Artifact]:
    """All artifacts (of a kind), or the newest `limit` of them; newest first."""
    return _read(connection, None if kind is None else _artifacts.c.kind == kind, limit)


def rows_of(connection: Connection, artifact: str) -> list[tuple[str, str]]:
    """(id, sha256) of an artifact's rows, in order."""
    query = select(_rows.c.row_id, _rows.c.row_sha256).where(_rows.c.artifact == artifact).order_by(_rows.c.place)
    return [(row_id, sha) for row_id, sha in connection.execute(query)]


def artifacts_with_row(connection: Connection, reference: str) -> list[str]:
    """Ids of artifacts that hold a row of this id, or whose sha256 begins so."""
    matches = (_rows.c.row_id == reference) | _rows.c.row_sha256.startswith(reference, autoescape=True)
    return list(connection.execute(select(_rows.c.artifact).where(matches).distinct()).scalars())


def check(connection: Connection) -> tuple[dict[str, Artifact], list[tuple[str, str]]]:
    """What the index can read, by id, and (id, what) of everything in it that is damaged. Never raises for damage."""
    try:
        answer = connection.execute(text("PRAGMA integrity_check")).scalars().all()
        entries = connection.execute(select(_artifacts)).all()
    except DatabaseError as error:
        return {}, [("", f"the database is damaged: {error.orig}")]
    problems = [("", f"the database is damaged: {line}") for line in answer if line != "ok"]
    known = {}
    for entry in entries:
        try:
            artifact = Artifact.model_validate_json(entry.record)
        except ValueError:
            problems.append((entry.id, "the index's record of it cannot be read"))
            continue
        columns = (entry.id, entry.key, entry.kind, entry.name)
        if columns != (artifact.id, artifact.key, artifact.kind, artifact.name):
            problems.append((entry.id, "the index's columns contradict its record"))
        known[entry.id] = artifact
    return known, problems


def _read(connection: Connection, condition: ColumnElement[bool] | None, limit: int | None = None) -> list[Artifact]:
    query = select(_artifacts.c.record).order_by(_artifacts.c.number.desc()).limit(limit)
    if condition is not None:
        query = query.where(condition)
    return [Artifact.model_validate_json(record) for record in connection.execute(query).scalars()]
