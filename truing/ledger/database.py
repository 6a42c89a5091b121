"""The ledger's index: which artifacts exist, which key made them, which rows they hold. SQLite now, through SQLAlchemy Core.

The truth is in the artifacts' folders; the index can be made anew from them.
"""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Column, Connection, Engine, Index, Integer, MetaData, String, Table, Text, create_engine, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError

from truing.core.errors import RunError
from truing.ledger.artifacts import Artifact

SCHEMA_VERSION = 1
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
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _prepare(connection, _record) -> None:  # type: ignore[no-untyped-def]
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA busy_timeout=30000")
        cursor.close()

    try:
        _metadata.create_all(engine)
        with engine.begin() as connection:
            statement = insert(_meta).values(name="schema", value=str(SCHEMA_VERSION))
            connection.execute(statement.on_conflict_do_nothing())
            found = connection.execute(select(_meta.c.value).where(_meta.c.name == "schema")).scalar_one()
    except DatabaseError as error:
        raise RunError(f"{path}: the ledger's database cannot be opened ({error.orig}); restore it from a copy") from None
    if int(found) > SCHEMA_VERSION:
        raise RunError(f"{path}: made by a newer truing (schema {found}, known {SCHEMA_VERSION}); update truing")
    return engine


def add(connection: Connection, artifact: Artifact, rows: Iterable[tuple[str, str]]) -> None:
    """Record an artifact and its rows; recording it again makes it the newest of its name and changes nothing else."""
    connection.execute(_artifacts.delete().where(_artifacts.c.id == artifact.id))
    connection.execute(
        _artifacts.insert().values(
            id=artifact.id, key=artifact.key, kind=artifact.kind, name=artifact.name, record=artifact.model_dump_json()
        )
    )
    values = [
        {"artifact": artifact.id, "place": place, "row_id": row_id, "row_sha256": sha}
        for place, (row_id, sha) in enumerate(rows)
    ]
    if values:
        connection.execute(insert(_rows).on_conflict_do_nothing(), values)


def by_key(connection: Connection, key: str) -> list[Artifact]:
    """Artifacts made from these inputs, newest first."""
    return _read(connection, _artifacts.c.key == key)


def by_reference(connection: Connection, reference: str) -> list[Artifact]:
    """Artifacts whose id begins so, or whose name it is; newest first."""
    return _read(connection, _artifacts.c.id.startswith(reference, autoescape=True) | (_artifacts.c.name == reference))


def all_artifacts(connection: Connection, kind: str | None = None) -> list[Artifact]:
    """All artifacts (of a kind), newest first."""
    return _read(connection, None if kind is None else _artifacts.c.kind == kind)


def rows_of(connection: Connection, artifact: str) -> list[tuple[str, str]]:
    """(id, sha256) of an artifact's rows, in order."""
    query = select(_rows.c.row_id, _rows.c.row_sha256).where(_rows.c.artifact == artifact).order_by(_rows.c.place)
    return [(row_id, sha) for row_id, sha in connection.execute(query)]


def artifacts_with_row(connection: Connection, reference: str) -> list[str]:
    """Ids of artifacts that hold a row of this id, or whose sha256 begins so."""
    matches = (_rows.c.row_id == reference) | _rows.c.row_sha256.startswith(reference, autoescape=True)
    return list(connection.execute(select(_rows.c.artifact).where(matches).distinct()).scalars())


def _read(connection: Connection, condition) -> list[Artifact]:  # type: ignore[no-untyped-def]
    query = select(_artifacts.c.record).order_by(_artifacts.c.number.desc())
    if condition is not None:
        query = query.where(condition)
    return [Artifact.model_validate_json(record) for record in connection.execute(query).scalars()]
