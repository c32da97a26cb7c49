"""read_comparisons: a log in, a group's comparisons out, with a report of every row that was not used."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from prefq.errors import InputError
from prefq.rewards.group import GroupComparisons
from prefq.rewards.group import Rows as Numbers
from prefq.rewards.logs.choices import choice_table, require_known
from prefq.rewards.logs.columns import (
    ITEM_PAIRS,
    ITEM_RATINGS,
    PAIRS,
    PREFERRED,
    RATINGS,
    Form,
    advice,
    find_form,
    item_columns,
    listed,
    require_columns,
)
from prefq.rewards.logs.compared import Compared, of_pairs, of_ratings, with_drawn_sides, without_repeated
from prefq.rewards.logs.comparisons import TextComparisons
from prefq.rewards.logs.conversations import NO_PROMPT
from prefq.rewards.logs.draws import hashes_of
from prefq.rewards.logs.ratings import MOST_PAIRS, EqualRatings
from prefq.rewards.logs.reading import Log, open_log
from prefq.rewards.logs.report import FEW_ANSWERS, ImportReport, LeftOut
from prefq.rewards.logs.rows import KnownItem, RowReader, Rows, identifier, place
from prefq.rewards.logs.splits import PROMPT_SHARES, USER_SHARES, Part, Splits, make_splits, require_shares
from prefq.rewards.logs.texts import PROMPT, RESPONSE, ItemWriter, TextColumn
from prefq.vocabulary import counted

NOTHING: Mapping[str, str] = MappingProxyType({})


class _Tally:
    """Rows that were read, and why some were dropped."""

    def __init__(self) -> None:
        self.n_rows = 0
        self.dropped: dict[str, LeftOut] = {}

    def drop(self, reason: str, where: str) -> None:
        before = self.dropped.get(reason, LeftOut(0, where))
        self.dropped[reason] = LeftOut(before.count + 1, before.example)


def read_comparisons(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] = NOTHING,
    items: str | os.PathLike[str] | None = None,
    choices: Mapping[str, str] = NOTHING,
    seed: int = 0,
    largest_strength: float | None = None,
    equal_ratings: EqualRatings = "drop",
    most_pairs: int = MOST_PAIRS,
    rating_strengths: bool = False,
    user_shares: Sequence[float] = USER_SHARES,
    prompt_shares: Sequence[float] = PROMPT_SHARES,
    dataset_split: str | None = None,
    scratch: str | os.PathLike[str] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> TextComparisons:
    """Read a log of comparisons.

    Rows are of one of these forms, found by the columns (`docs/guide/logs.md`): `user_id`, `prompt` and

    - `response_a`, `response_b`, `choice`, perhaps `strength`;
    - `chosen`, `rejected`: their sides are drawn, since the log tells the preferred one by its place;
    - `response`, `rating`: compared within a person and prompt;
    - with `items`: `item_a`, `item_b`, `choice`, or `item_id`, `rating`, and no texts.

    A row that cannot be used is dropped and counted. The log is read once, a batch at a time; texts go to a temporary
    file, which `TextComparisons.save` keeps and which is removed with the value.

    Parameters
    ----------
    path
        Parquet, JSON lines or CSV, a folder of such files, or a folder that `datasets` saved.
    columns
        The log's names by ours, ``{"user_id": "annotator"}``; ``{"prompt": ""}`` says that there are no prompts.
    items
        File or folder with `item_id`, `response`, and `prompt` or `prompt_id`.
    choices
        What the log's choices mean where they are none that is known: ``{"0": "first", "1": "second"}``.
    seed
        For parts, sides and pairs: each draw depends on it and on what it is for, never on other rows.
    largest_strength
        That strengths are divided by; by default the largest of the log, or 1 if none is above.
    equal_ratings
        Whether two equal ratings are left out (``"drop"``) or a ``"tie"``.
    most_pairs
        Comparisons from one set of ratings at most, at least 1.
    rating_strengths
        Take the difference of two ratings, as a share of the range of all, for the strength of the preference.
    user_shares, prompt_shares
        Of train, validation and test.
    dataset_split
        Part of a folder of several data sets.
    scratch
        Folder for the temporary file; by default the system's.
    on_progress
        Told the number of rows after each batch; what it raises ends the import, and nothing is left behind.

    Raises
    ------
    NotFoundError
        When a file is not there.
    InputError
        When the log is of no known kind or form, or no row of it can be used.
    StorageError
        When a file cannot be read or written.
    """
    if most_pairs < 1:
        raise InputError(f"most_pairs is {most_pairs}; give a number of at least 1.")
    require_shares(user_shares, prompt_shares)
    table = choice_table(choices)
    log = open_log(Path(path), dataset_split=dataset_split)
    texts = None if items is None else open_log(Path(items))
    if texts is None:
        require_columns(log.columns, columns, log.name)
    else:
        require_columns((*log.columns, *texts.columns), columns, f"{log.name} with {texts.name}")
    form, named = find_form(log.columns, columns, log.name, by_items=texts is not None)
    with ItemWriter(None if scratch is None else Path(scratch)) as writer:
        reader = RowReader(writer, table, {}, without_prompts=columns.get(PROMPT) == "")
        if texts is not None:
            reader.items = _known_items(texts, item_columns(texts.columns, columns, texts.name), reader)
        tally = _read(log, named, form, reader, on_progress)
        file = writer.finish()
    codes, users = np.asarray(writer.prompt_codes), hashes_of(map(str.encode, reader.rows.users), seed, "user")
    hashed, prompts = writer.take_hashes(seed)
    left_out, scale = dict[str, LeftOut](), None
    if form in (RATINGS, ITEM_RATINGS):
        compared, left_out = of_ratings(
            reader.rows,
            codes,
            users,
            hashed,
            equal_ratings=equal_ratings,
            most_pairs=most_pairs,
            rating_strengths=rating_strengths,
        )
    else:
        compared, scale = of_pairs(reader.rows, largest_strength)
    if form not in (PAIRS, ITEM_PAIRS):
        compared = with_drawn_sides(compared, users, hashed)
    compared, n_contradicting = without_repeated(compared, reader.rows, left_out)
    if not len(compared.users):
        raise InputError(
            f"no comparison is left of {counted(tally.n_rows, 'row')} of {log.name}: {_reasons(left_out)}; give "
            "responses of which people prefer one, or take equal ratings for ties (--equal-ratings tie)."
        )
    group = _group(compared, reader.rows, codes)
    splits = make_splits(users, prompts, user_shares=user_shares, prompt_shares=prompt_shares)
    report = ImportReport(
        log=log.name,
        form=form.name,
        seed=seed,
        n_rows=tally.n_rows,
        n_bytes=log.n_bytes + (0 if texts is None else texts.n_bytes),
        dropped=tally.dropped,
        left_out=left_out,
        n_contradicting=n_contradicting,
        n_empty_texts=writer.n_empty,
        n_long_texts=writer.n_long,
        n_strengths=reader.rows.n_strengths,
        n_wrong_strengths=reader.rows.n_wrong_strengths,
        largest_strength=scale,
        sides_were_drawn=form not in (PAIRS, ITEM_PAIRS),
        **_counts(group, splits),
    )
    return TextComparisons(group, TextColumn(file, PROMPT), TextColumn(file, RESPONSE), report, splits)


def _known_items(texts: Log, named: Mapping[str, str], reader: RowReader) -> dict[str, KnownItem]:
    """Items of another file, by id; InputError for one without id or text, or one that is there with two texts."""
    found: dict[str, KnownItem] = {}
    for batch in texts.read(list(named.values())):
        for number, values in enumerate(batch.rows, batch.first_row):
            if values is None:
                continue
            where = place(number, batch.source)
            if isinstance(values, str):
                raise InputError(f"{where} cannot be used: {values}; every item needs its text.")
            row = dict(zip(named, values, strict=True))
            try:
                item_id = identifier(row["item_id"])
                item = reader.known_item(row)
            except InputError as error:
                reason = str(error).replace("user_id", "item_id")
                raise InputError(f"{where} cannot be used: {reason}; every item needs id, prompt and text.") from None
            if found.setdefault(item_id, item).number != item.number:
                raise InputError(f"item {item_id!r} is in {texts.name} with two texts, one in {where}; keep one.")
    return found


def _read(
    log: Log, named: Mapping[str, str], form: Form, reader: RowReader, on_progress: Callable[[int], None] | None
) -> _Tally:
    """Give all rows to the reader; InputError when none can be used."""
    take: Mapping[str, Callable[[int, Mapping[str, Any]], None]] = {
        PAIRS.name: reader.pair,
        PREFERRED.name: reader.preferred,
        RATINGS.name: reader.rating,
        ITEM_PAIRS.name: reader.item_pair,
        ITEM_RATINGS.name: reader.item_rating,
    }
    tally, keep = _Tally(), take[form.name]
    for batch in log.read(list(named.values())):
        reader.rows.begin(batch.source)
        for number, values in enumerate(batch.rows, batch.first_row):
            if values is None:
                continue
            tally.n_rows += 1
            try:
                if isinstance(values, str):
                    raise InputError(values)
                keep(number, dict(zip(named, values, strict=True)))
            except InputError as error:
                tally.drop(str(error), place(number, batch.source))
        if on_progress is not None:
            on_progress(tally.n_rows)
    require_known(reader.unknown, n_known=reader.n_known)
    if not tally.n_rows:
        raise InputError(f"{log.name} has no rows; give at least one.")
    if not len(reader.rows.user):
        hint = "check that they hold what they are taken for"
        if NO_PROMPT in tally.dropped:
            others = [column for column in log.columns if column not in named.values()]
            hint = f"{advice([PROMPT], others)}, or --column prompt= where there is none"
        raise InputError(
            f"no row of {log.name} can be used: {_reasons(tally.dropped)}; it has the columns {listed(log.columns)}: "
            f"{hint}."
        )
    return tally


def _reasons(found: Mapping[str, LeftOut]) -> str:
    return (
        "; ".join(f"{each.count} {reason} ({each.example})" for reason, each in found.items()) or "nobody compared two"
    )


def _group(compared: Compared, rows: Rows, prompt_codes: Numbers) -> GroupComparisons:
    return GroupComparisons(
        np.column_stack([compared.firsts, compared.seconds]).astype(np.int64),
        compared.outcomes,
        compared.users,
        tuple(rows.users),
        prompt_codes,
        compared.strengths,
        compared.tasks,
    )


def _counts(group: GroupComparisons, splits: Splits) -> dict[str, Any]:
    """What the report says of the comparisons that were kept."""
    per_user = np.bincount(group.users, minlength=group.n_users)
    per_user, parts = per_user[per_user > 0], splits.users[per_user > 0]
    of_part = {name: getattr(splits, name)(group) for name in ("train", "validation", "test", "history")}
    return {
        "n_comparisons": group.n_comparisons,
        "n_users": len(per_user),
        "n_prompts": len(splits.prompts),
        "n_items": group.n_items,
        "n_ties": int((group.outcomes == 0).sum()),
        "n_first": int((group.outcomes == 1).sum()),
        "users_with_fewer": {str(least): int((per_user < least).sum()) for least in FEW_ANSWERS},
        "parts": {name: len(found) for name, found in of_part.items()},
        "users_by_part": {part.name.lower(): int((parts == part).sum()) for part in Part},
        "prompts_are_split": splits.prompts_are_split,
    }
