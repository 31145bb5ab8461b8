"""Connector pulls: daily bars into an Iceberg table, page by page, so that a pull can be resumed."""

from typing import Any

from celery import shared_task

from alphaswarm import market, storage

PAGE = 250  # days


@shared_task
def pull(symbol: str, days: int) -> dict[str, Any]:
    """Append the days that the table lacks; a second pull of the same days appends none."""
    import pyarrow as pa

    table = _table()
    stored = table.scan(row_filter=f"symbol == '{symbol}'", selected_fields=("day",)).to_arrow().num_rows
    series = market.prices(symbol, days)
    pages = 0
    for start in range(stored, days, PAGE):
        closes = series[start : start + PAGE]
        numbers = range(start, start + len(closes))
        table.append(
            pa.table(
                {
                    "symbol": pa.array([symbol] * len(closes), pa.string()),
                    "day": pa.array(numbers, pa.int64()),
                    "close": pa.array(closes, pa.float64()),
                }
            )
        )
        pages += 1
    return {"symbol": symbol, "added": max(0, days - stored), "pages": pages}


def _table() -> Any:  # noqa: ANN401 pyiceberg is an extra
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.schema import Schema
    from pyiceberg.types import DoubleType, LongType, NestedField, StringType

    folder = storage.data() / "iceberg"
    folder.mkdir(parents=True, exist_ok=True)
    catalog = SqlCatalog("local", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
    catalog.create_namespace_if_not_exists("market")
    schema = Schema(
        NestedField(1, "symbol", StringType(), required=False),
        NestedField(2, "day", LongType(), required=False),
        NestedField(3, "close", DoubleType(), required=False),
    )
    return catalog.create_table_if_not_exists("market.bars", schema)
