"""The evaluator: one worker a partition turns the input log into membership changes, exactly once.

A map of the folder, by what a module is for. A module's own first lines say the rule that it keeps.

The process
    service: what runs, started and ended together
    settings, state_directory
    allocator: glibc is told to give freed write buffers back
    garbage: when unreachable objects are looked for

Transport and ownership
    transport: Faust as the control plane; everything of its that we override
    fetching: fetched records by whole batches
    owner: the process's partitions, from their assignment to their loss
    surroundings: what the owner reaches in the world; the simulation gives it another one
    ports: the same seam for one partition's worker: log and store as protocols
    kafka_log: the log's port on a broker
    store: the store's port on RocksDB, as bytes

Recovery
    recovery: the steps from a fenced log to a level store; where none leads there, the refusal
    quarantine: opens the store, or sets it aside and begins an empty one
    unmarked: finds what a broker left without an outcome, and decides it
    evidence: what proves such a transaction committed; pure
    ledger: what each transaction says that it wrote; told on the live path, read as evidence
    new_contacts: rows of contacts that the store lacks, in key order
    senseless: rows of a changelog that somebody else wrote, and their refusal
    contradictions: rows that make sense alone and not together, likewise
    census: whether the store holds as many contacts as the last commit said
    restored: what a level store holds, read back into the partition

The live path
    worker: drain, decide, send, commit, apply; the only writer of a partition's state
    partition: what records do to the state, in memory; never talks to the broker
    transaction: what the records since the last commit have changed, and the rows that follow from it
    definitions: a segment on the wire, compiled
    rows: the keys and rows of the store
    recent: contacts of the last transactions, decoded, to save reading them again
    pace: when to commit and how much to do at once
    commit_gap: how long between two commits
    dead_letters: what cannot be read
    failures: what can be read and fails, twice: a fault of ours
    tally: what was decided, counted, and not yet sent

Background work
    background: which partition's turn it is
    deadlines: who may be due, found in the store
    unreadable: counts of values that the segments cannot read
    warming: columns for previews, read ahead in spare time
    upkeep: checkpoints and compaction, when an operator asks

Reads
    read_api: the routes
    serving: which partitions can be read here, and whom a commit concerns
    reads: the answers, from committed rows
    history: the latest changes of segments and contacts, kept for people
    asof: membership at a past instant, from what history kept
    previews: how many contacts a draft matches
    columns: contacts by attribute, in memory, for previews
    column_memory: how much all of them may hold

Telling
    status: who owns what and how far it is, on the status topic
    segment_news: which segments have something new for it
    backfill_progress: when those that settle are expected to have
    outcomes: what became of one input, for a caller who waits
    measures: metrics
    traces: spans
"""
