"""The size of the demo data set that tests share."""

DEMO_ITEMS, DEMO_USERS, DEMO_SEED = 200, 1500, 3
