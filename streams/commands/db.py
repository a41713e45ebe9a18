"""`doorstream db`: the tables of PostgreSQL and ClickHouse."""

from __future__ import annotations

import typer

from sinks.migrate import MigrationError, Status, migrate_clickhouse, migrate_postgres
from sinks.migrate import status as migration_status
from sinks.reading import SinkUnavailable
from streams.commands.running import (
    FOUND_WRONG,
    UNREACHABLE,
    CommandError,
    Json,
    print_json,
    run,
    say,
    settings_or_fail,
)

app = typer.Typer(help="The tables of PostgreSQL and ClickHouse.", no_args_is_help=True)

_CHECK = "check DOORSTREAM_POSTGRES and DOORSTREAM_CLICKHOUSE, or `doorstream stack up`"


@app.command()
def migrate(json: Json = False) -> None:
    """Make the tables, or bring them up to date."""
    settings = settings_or_fail()

    async def work() -> dict[str, list[str]]:
        settings.need("postgres", "clickhouse")
        try:
            return {
                "postgres": await migrate_postgres(settings.postgres),
                "clickhouse": await migrate_clickhouse(settings.clickhouse),
            }
        except MigrationError as error:
            raise CommandError(str(error)) from error
        except SinkUnavailable as error:
            raise CommandError(f"{error}: {_CHECK}", UNREACHABLE) from error

    done = run(work())
    if json:
        print_json(done)
        return
    for store, names in done.items():
        say(f"{store:10} {', '.join(names) if names else 'up to date'}")


@app.command()
def status(json: Json = False) -> None:
    """Say which migrations were applied. Exit 1 when one was not."""
    settings = settings_or_fail()

    async def work() -> list[Status]:
        settings.need("postgres", "clickhouse")
        try:
            return await migration_status(settings.postgres, settings.clickhouse)
        except MigrationError as error:
            raise CommandError(str(error)) from error
        except SinkUnavailable as error:
            raise CommandError(f"{error}: {_CHECK}", UNREACHABLE) from error

    rows = run(work())
    if json:
        print_json({"migrations": [row._asdict() for row in rows]})
    else:
        for row in rows:
            say(f"{row.store:10} {row.name:24} {'applied' if row.applied else 'PENDING: run `doorstream db migrate`'}")
    if not all(row.applied for row in rows):
        raise typer.Exit(FOUND_WRONG)
