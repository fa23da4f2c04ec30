"""Faults: annolog's parts are killed, frozen and starved, and nothing may be lost.

    python -m tests.faults --seed 7

`plan` makes out of a seed what befalls whom and when; `parts` are the processes;
`stage` holds them together, and `harms` does the harm; `writers` say things meanwhile
and note in the `ledger` what they were answered; `findings` compares the ledger, the
log, the topics, the states and the records; `report` prints. docs/faults.md tells more.
"""
