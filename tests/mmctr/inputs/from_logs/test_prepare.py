"""From raw logs to splits: every row against a slow program, nothing from the future, the same bytes each time."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from raw_logs import SPLITS, prepared, random_log, splits

from mmctr.common.errors import InputError
from mmctr.common.files import file_sha256
from mmctr.inputs.from_logs.hashing import hash_ids, keyed, unit
from mmctr.inputs.from_logs.options import Column, LogFormat, Request, Rules
from mmctr.inputs.from_logs.prepare import prepare_logs

LABELLED = LogFormat(label="label", context=(Column("device", "category"),))
DATA = tuple(f"{name}.parquet" for name in (*SPLITS, "test_labels", "items"))


def digests(folder: Path) -> dict[str, str]:
    return {name: file_sha256(folder / "out" / name) for name in DATA}


def slow_rows(log: pl.DataFrame, *, max_len: int, every: bool = False) -> set[tuple]:
    """(user, time, history, item, device, label) of every event, by the rule as it is written."""
    rows = set()
    events = log.rows(named=True)
    for event in events:
        before = sorted(
            (other["timestamp"], other["item_id"], other["label"])
            for other in events
            if other["user_id"] == event["user_id"]
            and other["timestamp"] < event["timestamp"]
            and (every or other["label"] == 1)
        )
        history = tuple(item for _, item, _ in before[-max_len:])
        rows.add((event["user_id"], event["timestamp"], history, event["item_id"], event["device"], event["label"]))
    return rows


def rows_of(frame: pl.DataFrame) -> list[tuple]:
    columns = frame.select("user_id", "time", "history", "item_id", "device", "label")
    return [(user, time, tuple(history), *rest) for user, time, history, *rest in columns.iter_rows()]


@pytest.mark.parametrize("split", ["time", "users"])
@pytest.mark.parametrize("history", ["positives", "all"])
def test_each_event_of_a_log_with_labels_is_a_row_with_what_was_before(tmp_path, split, history):
    log = random_log()
    done = prepared(tmp_path, log, log_format=LABELLED, split=split, history=history, max_len=5, valid=0.2, test=0.2)
    frames = splits(tmp_path)
    found = [row for frame in frames.values() for row in rows_of(frame)]
    assert len(found) == len(set(found)) == len(log) == done.events
    assert set(found) == slow_rows(log, max_len=5, every=history == "all")
    assert list(frames["train"].columns) == ["user_id", "time", "history", "item_id", "device", "label"]
    if split == "time":
        ends = [(frame["time"].min(), frame["time"].max()) for frame in frames.values()]
        assert ends[0][1] < ends[1][0] <= ends[1][1] < ends[2][0]
        assert abs(len(frames["test"]) - 0.2 * len(log)) < 20
    else:
        users = [set(frame["user_id"]) for frame in frames.values()]
        assert sum(map(len, users)) == len(set.union(*users)) == log["user_id"].n_unique()


LOGS = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 30), st.integers(0, 9)), min_size=40, max_size=90, unique=True
)


# The event (2, 1, 3) has no item that is live and not the user's own, so it becomes no row of train.
ONE_LEFT_OUT = [
    (1, 1, 4),
    (1, 1, 5),
    (1, 1, 6),
    (1, 1, 8),
    (1, 2, 0),
    (1, 2, 1),
    (1, 2, 2),
    (1, 2, 3),
    (1, 2, 4),
    (1, 2, 5),
    (1, 2, 8),
    (1, 3, 0),
    (1, 3, 4),
    (1, 3, 8),
    (1, 4, 0),
    (1, 4, 4),
    (1, 4, 5),
    (1, 4, 8),
    (1, 5, 0),
    (1, 5, 8),
    (1, 6, 0),
    (1, 6, 8),
    (1, 7, 0),
    (1, 7, 7),
    (1, 7, 8),
    (1, 8, 0),
    (1, 9, 0),
    (1, 11, 0),
    (1, 11, 8),
    (1, 12, 8),
    (1, 14, 8),
    (2, 1, 3),
    (2, 1, 4),
    (2, 2, 4),
    (2, 10, 0),
    (2, 10, 5),
    (2, 13, 8),
    (3, 4, 0),
    (3, 10, 3),
    (4, 1, 4),
]


@settings(max_examples=25)
@example(events=ONE_LEFT_OUT, by="live", split="time")
@given(events=LOGS, by=st.sampled_from(["uniform", "popularity", "live"]), split=st.sampled_from(["time", "users"]))
def test_nothing_leaks(events, by, split):
    """No history item at or after the row's time, no test user or event in train, no negative of the user's own."""
    log = pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row")
    with TemporaryDirectory() as folder:
        try:
            rules = {"split": split, "valid": 0.3, "test": 0.3, "negatives": 1, "negatives_from": by, "max_len": 4}
            done = prepared(Path(folder), log, **rules)
        except InputError:
            return  # of so few events a split may have none
        frames = splits(Path(folder))
    own = {user: set(items) for user, items in log.group_by("user_id").agg("item_id").iter_rows()}
    when = {(user, time, item) for user, item, time in log.iter_rows()}
    train = frames["train"].filter(pl.col("label") == 1).select("user_id", "time", "item_id").rows()
    for frame in frames.values():
        for user, time, history, item, label in frame.iter_rows():
            assert ((user, time, item) in when) if label else item not in own[user]
            earlier = sorted((at, one) for who, one, at in events if who == user and at < time)
            assert history == [one for _, one in earlier[-4:]]
    if split == "users":
        assert not set(frames["train"]["user_id"]) & set(frames["test"]["user_id"])
    else:
        assert max(time for _, time, _ in train) < frames["valid"]["time"].min() < frames["test"]["time"].min()
    of_train = train_events(log, done)
    assert set(train) <= set(of_train.select("user_id", "timestamp", "item_id").rows())
    assert set(frames["train"]["item_id"]) <= set(of_train["item_id"]), "negatives of train are items of train's events"


def train_events(log, done):
    """Events of train, those that became no row for want of a negative among them: by the rule as it is written."""
    if done.cuts:
        return log.filter(pl.col("timestamp") < int(done.cuts[0].split()[0]))
    place = unit(keyed(keyed(hash_ids(log["user_id"]), 0), -7))
    return log.filter(pl.Series(place >= 0.6))


def test_what_is_in_test_changes_no_byte_of_train(tmp_path):
    """Another test split, with other items, and train is the same to the byte."""
    log, rules = random_log(), {"split": "users", "negatives_from": "popularity", "valid": 0.2, "test": 0.2}
    prepared(tmp_path / "a", log.drop("label", "device"), **rules)
    test_users = splits(tmp_path / "a")["test"]["user_id"].unique().implode()
    others = log.with_columns(
        item_id=pl.when(pl.col("user_id").is_in(test_users)).then(pl.col("item_id") * 2 + 1).otherwise("item_id")
    )
    prepared(tmp_path / "b", others.drop("label", "device"), **rules)
    first, second = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert first["train.parquet"] == second["train.parquet"]
    assert first["valid.parquet"] == second["valid.parquet"]
    assert first["test.parquet"] != second["test.parquet"]


def test_later_events_change_no_byte_of_train_where_there_are_labels(tmp_path):
    log = random_log()
    cuts = {"valid_from": "1700000120", "test_from": "1700000160"}
    prepared(tmp_path / "a", log, log_format=LABELLED, **cuts)
    later = log.with_columns(
        item_id=pl.when(pl.col("timestamp") >= 1_700_000_160).then(pl.col("item_id") + 1).otherwise("item_id")
    )
    prepared(tmp_path / "b", later, log_format=LABELLED, **cuts)
    first, second = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert [name for name in DATA if first[name] != second[name]] == ["test.parquet", "items.parquet"]


@pytest.mark.parametrize("by", ["uniform", "popularity", "live"])
def test_negatives_are_different_items_that_the_user_never_had(tmp_path, by):
    log = random_log().drop("label", "device")
    done = prepared(tmp_path, log, negatives=3, negatives_from=by)
    frames = splits(tmp_path)
    own = {user: set(items) for user, items in log.group_by("user_id").agg("item_id").iter_rows()}
    for name, frame in frames.items():
        assert done.splits[name].rows == len(frame) == 4 * frame["label"].sum()
        for at in range(0, len(frame), 4):
            four = frame[at : at + 4]
            assert four.select("user_id", "time", "history").n_unique() == 1
            assert four["item_id"].n_unique() == 4
            assert not set(four.filter(label=0)["item_id"]) & own[four["user_id"][0]]
    places = (frames["train"]["label"] == 1).arg_true() % 4
    assert places.n_unique() == 4, "the positive is at no place of its own"


def test_live_negatives_have_events_before_and_after(tmp_path):
    log = random_log(events=2000, items=200).drop("label", "device")
    done = prepared(tmp_path, log, negatives=2, negatives_from="live")
    life = log.group_by("item_id").agg(first=pl.min("timestamp"), last=pl.max("timestamp"))
    rows = splits(tmp_path)["test"].filter(label=0).join(life, on="item_id")
    assert len(rows) == 2 * done.splits["test"].positives
    assert (rows["first"] <= rows["time"]).all()
    assert (rows["last"] >= rows["time"]).all()


def test_popular_items_are_drawn_more_often(tmp_path):
    """Users without a popular item meet it as a negative; the shares are those of the events."""
    log = pl.DataFrame(
        {
            "user_id": [user for user in range(400) for _ in range(3)],
            "item_id": [item for user in range(400) for item in ([1, 2, 3] if user % 2 else [4, 5 + user % 40, 50])],
            "timestamp": list(range(1200)),
        }
    )
    prepared(tmp_path, log, split="users", negatives=1, negatives_from="popularity")
    drawn = splits(tmp_path)["train"].filter(label=0).filter(pl.col("item_id").is_in([1, 2, 3, 4, 50]))
    of_odd = drawn.filter(pl.col("user_id") % 2 == 1)["item_id"].value_counts()
    assert of_odd.filter(pl.col("item_id").is_in([4, 50]))["count"].min() > 100


def test_the_same_log_makes_the_same_bytes_however_it_is_stored(tmp_path, monkeypatch):
    log = random_log(events=3000, users=200)
    first = LogFormat(context=(Column("device"),))
    prepared(tmp_path / "a", log.drop("label"), log_format=first, negatives=2, negatives_from="live")
    shuffled = log.drop("label").sample(fraction=1.0, shuffle=True, seed=1)
    parts = tmp_path / "b/parts"
    parts.mkdir(parents=True)
    for number in range(7):
        shuffled[number::7].write_parquet(parts / f"part-{number}.parquet", row_group_size=50)
    monkeypatch.setattr("mmctr.inputs.from_logs.events.BATCH_ROWS", 100)
    prepare_logs([parts], tmp_path / "b/out", Request(first, None, Rules(negatives=2, negatives_from="live")))
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    other = Request(first, None, Rules(negatives=2, negatives_from="live", seed=1))
    prepare_logs([parts], tmp_path / "c/out", other)
    assert digests(tmp_path / "a")["train.parquet"] != digests(tmp_path / "c")["train.parquet"]


def test_text_ids_make_the_same_splits_as_numbers(tmp_path):
    log = random_log().with_columns(user_id=pl.col("user_id") + 1000, item_id=pl.col("item_id") + 1000)  # of one length
    prepared(tmp_path / "a", log, log_format=LABELLED)
    prepared(tmp_path / "b", log.with_columns(pl.col("user_id", "item_id").cast(pl.String)), log_format=LABELLED)
    for name in SPLITS:
        numbers, text = (splits(tmp_path / side)[name] for side in "ab")
        assert text.schema["history"] == pl.List(pl.String)
        as_text = numbers.with_columns(
            pl.col("user_id", "item_id").cast(pl.String), pl.col("history").cast(pl.List(pl.String))
        )
        assert as_text.sort(pl.all()).equals(text.sort(pl.all()))


def test_doubles_are_one_event_and_rows_without_user_item_or_time_are_dropped_and_counted(tmp_path):
    log = random_log().drop("label", "device")
    some = log[:5]
    gaps = [some.with_columns(pl.lit(None, pl.Int64).alias(name)) for name in log.columns]
    done = prepared(tmp_path / "a", pl.concat([log, log[:50], *gaps]))
    assert done.dropped == {"without user": 5, "without item": 5, "without time": 5, "double": 50}
    assert (done.rows_read, done.events) == (len(log) + 65, len(log))
    prepared(tmp_path / "b", log)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_the_last_events_of_a_user_alone_and_only_with_enough_history(tmp_path):
    log = random_log(events=2000)
    done = prepared(tmp_path, log, log_format=LABELLED, split="users", valid=0.3, test=0.3, last=2, min_history=3)
    every = slow_rows(log, max_len=64)
    for name, frame in splits(tmp_path).items():
        assert frame["history"].list.len().min() >= 3
        assert frame.group_by("user_id").len()["len"].max() == 2
        counts = done.splits[name]
        assert counts.rows + counts.short_history + counts.not_last == counts.events
        for user in set(frame["user_id"]):
            times = sorted(row[1] for row in every if row[0] == user and len(row[2]) >= 3)
            assert sorted(frame.filter(user_id=user)["time"]) == times[-2:]


def test_the_record_has_what_was_done(tmp_path):
    log = random_log()
    done = prepared(tmp_path, log, log_format=LABELLED)
    record = json.loads((tmp_path / "out/prepare.json").read_text())
    assert record["request"]["rules"]["seed"] == 0
    assert record["inputs"] == [
        {
            "file": str(tmp_path / "log.parquet"),
            "bytes": (tmp_path / "log.parquet").stat().st_size,
            "sha256": file_sha256(tmp_path / "log.parquet"),
        }
    ]
    assert {one["file"]: one["sha256"] for one in record["outputs"] if one["file"] in DATA} == digests(tmp_path)
    assert record["splits"]["train"]["rows"] == done.splits["train"].rows == len(splits(tmp_path)["train"])
    assert any("strictly before" in rule for rule in record["rules"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [*DATA, "mmctr.toml", "prepare.json"]
    ), "nothing of the work is left"


def test_a_log_that_is_refused_leaves_nothing(tmp_path):
    log = random_log().with_columns(label=pl.lit(1))
    with pytest.raises(InputError, match="each split needs both classes; train has positives alone"):
        prepared(tmp_path, log, log_format=LABELLED)
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]
