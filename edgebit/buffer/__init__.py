"""Where records wait for their output.

Each output has a buffer of its own, bounded in bytes. The contract, which the sender and the pipeline rely on:

    append(tag, records, size, receipt) -> n   takes the first n records (all, unless it is full and blocks)
    read(flush) -> chunk | None                the next chunk that was not handed out yet, in sequence order
    rewind()                                   hand out again from the oldest one that is not acknowledged
    ack(upto)                                  everything up to this sequence number is with the collector

A full buffer does one of three things, chosen per output: `block` (takes no more; the pipeline pauses the inputs),
`drop_oldest` (drops what waits longest and isn't on its way), `drop_newest` (drops what comes). Every dropped record
gets a sequence number and a line in the ledger, so that a gap at the collector always has an explanation.

Limits count what the process really holds: decoded records at their cost in memory, or their encoded bytes.
"""

BLOCK, DROP_OLDEST, DROP_NEWEST = "block", "drop_oldest", "drop_newest"
