"""Studies: figures as data. A study is a TOML file that names runs; engines train them, on one machine or on many."""
