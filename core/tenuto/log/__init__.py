"""The transparency log: a Merkle tree over the ledger, in the formats that other people's tools read.

In reading order: `merkle` (the tree of RFC 6962), `proof` (that an entry is in it, that it only grew), `note` and
`checkpoint` (what the log signs), `tiles` (the tree as plain files), `witnessing` (others who saw the same tree). All
formats are those of C2SP, byte for byte. Nothing here knows what an event is.
"""
