"""The latent topics of the demo world: six families of four, each topic with its words and its cover scene."""

from typing import NamedTuple


class Topic(NamedTuple):
    """One topic: the scene of its covers (a key of `covers.SCENES`), its family and the words of its titles."""

    scene: str
    family: str
    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]


def _topic(scene: str, family: str, nouns: str, verbs: str, adjectives: str) -> Topic:
    return Topic(scene, family, tuple(nouns.split()), tuple(verbs.split()), tuple(adjectives.split()))


TOPICS: tuple[Topic, ...] = (
    _topic(
        "sailing", "sea", "yacht sailboat regatta harbour anchor rigging", "sailing tacking mooring", "windy nautical"
    ),
    _topic(
        "surfing", "sea", "surfer surfboard wave barrel swell wetsuit", "surfing paddling carving", "gnarly tropical"
    ),
    _topic(
        "diving", "sea", "reef coral diver snorkel turtle seabed", "diving snorkelling exploring", "underwater deep"
    ),
    _topic(
        "lighthouse",
        "sea",
        "lighthouse cliff beacon keeper lantern headland",
        "guiding shining watching",
        "stormy lonely",
    ),
    _topic("mountains", "wild", "summit peak ridge alps glacier trail", "climbing hiking ascending", "alpine steep"),
    _topic(
        "desert", "wild", "dune cactus camel oasis sahara sandstorm", "trekking wandering crossing", "arid scorching"
    ),
    _topic("forest", "wild", "woods pine mushroom deer cabin creek", "foraging camping tracking", "mossy misty"),
    _topic(
        "aurora", "wild", "aurora tent stars campfire lapland telescope", "stargazing glowing waiting", "polar arctic"
    ),
    _topic(
        "skyline",
        "town",
        "skyscraper rooftop downtown skyline penthouse neon",
        "strolling timelapse lighting",
        "urban midnight",
    ),
    _topic(
        "trains",
        "town",
        "train locomotive railway station carriage tunnel",
        "departing shunting commuting",
        "express diesel",
    ),
    _topic("racing", "town", "racecar circuit pitstop engine lap podium", "racing overtaking drifting", "turbo fast"),
    _topic(
        "rain",
        "town",
        "umbrella puddle raincoat drizzle crossing monsoon",
        "raining splashing sheltering",
        "rainy soaked",
    ),
    _topic(
        "pizza", "food", "pizza mozzarella dough pepperoni oven margherita", "kneading slicing topping", "cheesy crispy"
    ),
    _topic("sushi", "food", "sushi salmon wasabi maki sashimi chopsticks", "rolling cutting plating", "japanese fresh"),
    _topic("cake", "food", "cake icing candles sponge birthday frosting", "baking decorating whisking", "sweet fluffy"),
    _topic(
        "coffee", "food", "coffee espresso barista latte beans cappuccino", "brewing roasting pouring", "creamy bitter"
    ),
    _topic(
        "football",
        "sport",
        "goalkeeper penalty striker football midfield corner",
        "scoring dribbling tackling",
        "offside last-minute",
    ),
    _topic(
        "basketball",
        "sport",
        "basketball dunk hoop buzzer rebound backboard",
        "dunking shooting crossover",
        "courtside clutch",
    ),
    _topic("skiing", "sport", "ski slalom slope powder snowboard chairlift", "skiing jumping waxing", "snowy downhill"),
    _topic(
        "tennis", "sport", "tennis racket serve forehand volley clay", "serving smashing rallying", "topspin unseeded"
    ),
    _topic("cards", "play", "poker cards ace dealer casino bluff", "shuffling bluffing dealing", "lucky royal"),
    _topic(
        "chess", "play", "chess bishop knight checkmate gambit pawn", "castling sacrificing mating", "grandmaster blitz"
    ),
    _topic(
        "piano",
        "play",
        "piano sonata chopin pianist melody keyboard",
        "practising composing improvising",
        "classical gentle",
    ),
    _topic(
        "arcade",
        "play",
        "arcade pixel joystick highscore console invaders",
        "gaming speedrunning glitching",
        "retro 8-bit",
    ),
)

# {n}: a noun of the topic, {m}: another one, {v}: a verb, {a}: an adjective; the rest is shared by all topics.
TEMPLATES: tuple[str, ...] = (
    "{v} the {a} {n}",
    "My first {n} and {m}",
    "How to start {v} with a {n}",
    "{a} {n}: watch this until the end",
    "10 things about {v} nobody tells you",
    "The best {n} of the year, {a} {m} included",
    "Day {day} of {v} | {n} vlog",
    "She tried the {a} {n} and then this happened",
    "{n} or {m}? Part {day}",
    "Why everyone is talking about this {n}",
    "{v} at 5 am, a {a} morning",
    "Wait for it... {a} {m}",
)

# Titles that carry no topic, as some real ones do not.
EMPTY_OF_TOPIC: tuple[str, ...] = (
    "You have to see this",
    "Part 2 is finally here!",
    "I can't believe it worked",
    "Best moments of the week",
    "Sound on",
)

FOREIGN: tuple[str, ...] = (
    "今天的视频太精彩了",
    "شاهد هذا الفيديو حتى النهاية",
    "🔥🔥🔥😂",
    "Лучшие моменты недели",
    "一定要看到最后 👀",
    "لا تفوّت هذه اللحظة",
)
