"""One sentence to act on, in Japanese and in English. None of them claims a cause, or that a place is safe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

__all__ = ["headlines"]

_WIDE_M = {10: 65, 11: 75}
"""About how far from the centre of a cell accidents are counted as on record: at resolution 11 those in the six cells around it, too."""

_JA: Mapping[str, str] = {
    "candidate": "{place}は、{years}の人身事故が{n}件と少ないものの、潜在的に危険な可能性があります"
    "(事故の少ない場所の上位{top}%)。現地を確認してください。",
    "known": "{place}では、{years}に人身事故が{n}件ありました(見込まれる件数は全体の上位{rank}%)。対策を検討してください。",
    "confirmed": "{place}は、潜在的に危険な可能性を示した後、人身事故が{years}で{n}件になりました。対策を検討してください。",
    "cleared": "{place}は、見込まれる事故が2回続けて基準を下回ったため、注意の表示を終えます。安全を保証するものではありません。",
}
_EN: Mapping[str, str] = {
    "candidate": "{place}: few injury accidents on record in {years} ({n}), yet possibly more dangerous than it looks "
    "(top {top} % of places with few): please look at the place.",
    "known": "{place}: injury accidents in {years}: {n}; by what is to be expected among the top {rank} % of all places: "
    "please consider measures.",
    "confirmed": "{place}: said to be possibly dangerous before; injury accidents in {years} are now {n}: please consider measures.",
    "cleared": "{place}: expected accidents were below the exit level twice running, so this notice ends; it does not say that the "
    "place is safe.",
}


def headlines(years: Sequence[int], resolution: int) -> Iterator[pl.Expr]:
    """Columns ``headline_ja`` and ``headline_en``, from ``state``, ``on_record``, the ranks and the centre.

    Args:
        years: the years that were counted.
        resolution: of the cells.
    """
    first, last = years[0], years[-1]
    span = (f"{first}年", str(first)) if first == last else (f"{first}〜{last}年", f"{first}–{last}")
    places = (
        f"北緯{{lat}}度・東経{{lon}}度の半径約{_WIDE_M[resolution]}m",
        f"Within about {_WIDE_M[resolution]} m of {{lat}} N, {{lon}} E",
    )
    for name, texts, years_told, place in zip(("headline_ja", "headline_en"), (_JA, _EN), span, places, strict=True):
        cases = [(pl.col("state") == state, _filled(text, place, years_told)) for state, text in texts.items()]
        yield pl.coalesce(pl.when(when).then(sentence) for when, sentence in cases).alias(name)


def _filled(text: str, place: str, years: str) -> pl.Expr:
    """A text with its parts put in, in the order in which they stand."""
    whole = text.replace("{place}", place).replace("{years}", years)
    parts: dict[str, pl.Expr] = {
        "lat": pl.col("lat_deg").round(4),
        "lon": pl.col("lon_deg").round(4),
        "n": pl.col("on_record"),
        "top": _percent("latent_rank_share"),
        "rank": _percent("rank_share"),
    }
    order = sorted((whole.index(f"{{{name}}}"), name) for name in parts if f"{{{name}}}" in whole)
    for _, name in order:
        whole = whole.replace(f"{{{name}}}", "{}")
    return pl.format(whole, *(parts[name] for _, name in order))


def _percent(column: str) -> pl.Expr:
    """A share in percent, to a tenth, never 0."""
    return (pl.col(column) * 100).round(1).clip(lower_bound=0.1)
