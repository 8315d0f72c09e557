"""A small clinic: appointments in its database, documents that it cannot read.

    records.py    what the clinic keeps, in SQLite
    server.py     its application server, a process of its own: logins, tokens, sealed bytes
    portal.py     a person's login there
    post.py       a mail provider: an SMTP server, a process of its own
    device.py     a person's device: that login, and their place at the log
    town.py       the processes, the people and their devices
    story.py      what happens to them, told as it happens; teller.py tells it
    ending.py     what it came to: search.py looks through all that is on disk

`python -m examples.clinic` (`./run clinic`) plays it with real processes in a temporary directory.
"""
