"""A rebuild says what differs from what was said: nothing, where nothing came behind the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.cli import main
from jobs.linkages import LINKAGES
from jobs.rebuild import again
from schemas import feed
from tests.contract.runs import newest, replayed, standing
from tests.contract.scripts import latent_accident_spots, upstream_flood, witnessed_near_misses

SPOTS = LINKAGES["latent_accident_spots"]
ACCIDENTS, NEAR = "road.accident.v1", "road.near-miss-by-place.v1"
FUKUI = "npa:data/npa/npa_2019-2021_52_points.csv.gz"


def said(name: str, logs: dict[str, pl.DataFrame]) -> pl.DataFrame:
    linkage = LINKAGES[name]
    return pl.DataFrame(replayed(linkage, logs, 30).facts, schema=feed(linkage.says).columns)


def revised(name: str, logs: dict[str, pl.DataFrame], before: pl.DataFrame, key: str | None = None) -> list[dict[str, Any]]:
    return again(LINKAGES[name], [logs], before, key).rows


@pytest.mark.parametrize("script", [upstream_flood, latent_accident_spots])
def test_of_what_came_in_time_nothing_differs(script: Any) -> None:
    name = script.__name__.rpartition(".")[2]
    logs = on_time(name, script.make(3).logs)
    before = said(name, logs)
    assert before.height > 10
    assert revised(name, logs, before) == []


def test_of_one_region_rain_from_beyond_its_border_is_read_too() -> None:
    logs = next(each for each in (on_time("upstream_flood", upstream_flood.make(seed).logs) for seed in range(20)) if rains_beyond(each))
    before = said("upstream_flood", logs)
    assert any(each["variant"] == "with_rain" for each in before["because"].to_list())
    assert revised("upstream_flood", logs, before, upstream_flood.REGION) == []


def rains_beyond(logs: dict[str, pl.DataFrame]) -> bool:
    beyond = logs["weather.rain.v1"].filter(pl.col("region") != upstream_flood.REGION, pl.col("rain_mm") > 5)
    return beyond.height > 10 and "with_rain" in logs["river.flood-model.v1"]["variants"][0].to_list()


def on_time(name: str, logs: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The records of a script that are not late, and can be."""
    out = dict(logs)
    for each in LINKAGES[name].observes:
        of, log = feed(each), logs[each]
        delay = pl.col("arrived") - pl.col(of.time)
        out[each] = log.filter(delay <= of.patience, delay.dt.total_minutes() >= -10)
    return out


def test_what_came_too_late_is_said_as_revisions_and_then_nothing_more() -> None:
    logs = on_time("latent_accident_spots", latent_accident_spots.make(3).logs)
    before = said("latent_accident_spots", logs)
    late = logs[ACCIDENTS].filter(pl.col("op") == "stated").head(6).with_columns(
        pl.concat_str(pl.lit("late"), "accident_id").alias("accident_id"), (pl.col("occurred_at") + pl.duration(days=1200)).alias("arrived")
    )  # fmt: skip
    more = logs | {ACCIDENTS: pl.concat([logs[ACCIDENTS], late]).sort("arrived", maintain_order=True)}
    stood = [standing(SPOTS, each.to_dicts()) for each in (before, said("latent_accident_spots", more))]
    assert stood[0] == stood[1], "a late record changed what stands"
    differs = revised("latent_accident_spots", more, before)
    known = newest(before.to_dicts())
    assert differs
    assert all(row["revision"] == (known[row["id"]]["revision"] if row["id"] in known else 0) + 1 for row in differs)
    then = pl.concat([before, pl.DataFrame(differs, schema=feed(SPOTS.says).columns)])
    assert revised("latent_accident_spots", more, then) == []


def test_what_must_not_count_any_more_is_withdrawn() -> None:
    logs = on_time("latent_accident_spots", latent_accident_spots.make(3).logs)
    before = said("latent_accident_spots", logs)
    standing = {id_ for id_, row in newest(before.to_dicts()).items() if row["state"] != "withdrawn"}
    none = revised("latent_accident_spots", logs | {ACCIDENTS: logs[ACCIDENTS].clear()}, before)
    assert {(row["id"], row["state"]) for row in none} == {(id_, "withdrawn") for id_ in standing}


def test_who_turns_out_to_have_a_partner_is_not_said_to_be_alone_any_more() -> None:
    logs = on_time("witnessed_near_misses", witnessed_near_misses.make(3).logs)
    before = said("witnessed_near_misses", logs)
    alone = before.filter(pl.col("state") == "alone").row(0, named=True)
    name = alone["because"]["left"]["name"].split("@")[1]
    felt = logs[NEAR].filter(pl.col("event_id") == name, "home").sort("version").tail(1)
    seen = felt.with_columns(pl.lit("seen").alias("event_id"), pl.lit("report").alias("kind"), pl.lit(1, pl.Int64).alias("version"))
    more = logs | {NEAR: pl.concat([logs[NEAR], seen])}
    differs = {row["id"]: row["state"] for row in revised("witnessed_near_misses", more, before)}
    assert differs.pop(alone["id"]) == "withdrawn"
    assert any(
        state == "paired" and id_.endswith(f"seen@{alone['because']['left']['name'].split('@')[2]}") for id_, state in differs.items()
    )


def test_who_was_alone_and_must_not_count_any_more_is_withdrawn_and_who_was_left_is_said_to_be_alone() -> None:
    logs = on_time("witnessed_near_misses", witnessed_near_misses.make(3).logs)
    before, near = said("witnessed_near_misses", logs), logs[NEAR]
    stands = newest(before.to_dicts()).values()
    alone = next(row for row in stands if row["state"] == "alone")["because"]["left"]["name"].split("@")[1]
    pair = next(row for row in stands if row["state"] == "paired")
    reports = near.filter(pl.col("kind") != "report")
    none = {row["id"]: row["state"] for row in revised("witnessed_near_misses", logs | {NEAR: reports}, before)}
    assert none[pair["id"]] == "withdrawn"
    assert none[f"{pair['shard']}/{pair['because']['left']['name']}/alone"] == "alone"
    erased = logs | {NEAR: near.filter(pl.col("event_id") != alone)}
    assert [row["state"] for row in revised("witnessed_near_misses", erased, before) if f"@{alone}@" in row["id"]] == ["withdrawn"]


def test_only_one_key_can_be_made_again() -> None:
    logs = on_time("latent_accident_spots", latent_accident_spots.make(3).logs)
    before = said("latent_accident_spots", logs)
    empty = logs | {ACCIDENTS: logs[ACCIDENTS].clear()}
    assert revised("latent_accident_spots", empty, before, key="another town") == []
    assert len(revised("latent_accident_spots", empty, before, key="town")) > 0


def test_the_command_says_how_much_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, then = tmp_path / "said.jsonl", tmp_path / "revised.jsonl"
    assert main(["replay", "latent_accident_spots", "--from", FUKUI, "--to", str(first)]) == 0
    count = len(first.read_text(encoding="utf-8").splitlines())
    capsys.readouterr()
    assert main(["rebuild", "latent_accident_spots", "--from", FUKUI, "--said", str(first), "--to", str(then)]) == 0
    assert capsys.readouterr().out == f"0 revisions in {then}, 0 of them withdrawals; {count} statements were given\n"
    assert main(["rebuild", "latent_accident_spots", "--from", FUKUI, "--said", str(tmp_path / "none"), "--to", str(then)]) == 3
    assert "what was said must be FILE.jsonl or archive:DIR (got " in capsys.readouterr().err
    for wrong, told in (
        (["--to", str(first)], "--to must not be what was said"),
        (["--to", str(then), "--key", "jq"], "--key must be one under"),
    ):
        assert main(["rebuild", "latent_accident_spots", "--from", FUKUI, "--said", str(first), *wrong]) == 3
        assert told in capsys.readouterr().err
    assert len(first.read_text(encoding="utf-8").splitlines()) == count
