"""The third task: a robot walks round a table until it knows how many cubes of a kind are on it."""
