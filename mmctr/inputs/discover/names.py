"""What the name of a column or a file says: its words, held against those that click logs use."""

import re

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ITEM = _words(
    "item iid pid product article sku asin movie film video song track news post book listing ad goods game recipe "
    "hotel restaurant place app course job artist photo pin"
)
USER = _words("user uid userid customer member visitor viewer reader buyer client account person player")
HISTORY = _words(
    "seq sequence hist history histories past previous prior before clicked viewed watched bought recent session "
    "behavior behaviour"
)
LABEL = _words(
    "label click clicked y bought purchased purchase converted conversion response liked watched ordered ctr"
)
TIME = _words("time timestamp ts date datetime at when day created unixtime")
TITLE = _words("title name headline caption heading")
TEXT = _words("text description abstract summary body")
IMAGE = _words("image img picture photo cover thumbnail poster")
ROW = _words("id row impression request index rowid")
TAGS = _words("tag genre category categories keyword topic color colour label attribute")
TRAIN = _words("train training tr trainset")
VALID = _words("valid validation val dev eval validset")
TEST = _words("test testing tst testset predict submission")
RATING = _words("rating score star")
_ID = _words("id ids key code uid iid pid sku asin")


def words_of(name: str) -> frozenset[str]:
    """Words of a name, in small letters: `lastClickedItems` and `last_clicked_items` have the same three."""
    return frozenset(word.lower() for word in _WORD.findall(name))


def says(name: str, words: frozenset[str]) -> bool:
    """Whether a word of the name is among `words`, as it is or in the plural."""
    return any(word in words or word.removesuffix("s") in words for word in words_of(name))


def is_id(name: str) -> bool:
    """Whether the name says that it is an id."""
    return bool(words_of(name) & _ID)
