"""Ingest: every public write. Requests become records on the log, or rejections that say how to repair them.

A map of the folder, by what a module is for. A module's own first lines say the rule that it keeps.

The process
    service: what one process holds, started and stopped together
    settings, metrics
    first_key: a command: the key by which all others are made

Around every request
    app: routes and documents put together
    edge: id, path as it was sent, measurement
    traced: spans
    guard: key, scope and rate, before anything is read
    bodies: read within bounds, together and each
    hot: `POST /contacts` past the framework
    unknown_fields: names that mean nothing, as problems; pure
    answers: how good ones are written down; others are `services/runtime/problems.py`

Contacts
    contacts: the routes
    admission: a request's records, or its rejections; pure
    contact_log: the way to the broker
    producer: a client that replaces itself when its sending task dies
    evaluation: `Prefer: wait`
    owner_records: who owns which partition, for those that ask an owner
    merge_routes, merging
    contact_watch: whether contacts were written since they were read
    contact_docs: what OpenAPI says of them

Segments and attributes
    segments: the routes
    segment_requests: a request's proposal, or its problems; pure
    attributes: the route that declares one
    definition_log: proposals appended, read back, accepted or not
    segment_history: who changed what, for the audit
    segment_docs, where_docs: what OpenAPI says of them and of expressions

Once, however often it is asked
    idempotency: `Idempotency-Key`, around every POST
    posts: which paths take a POST, and the guard of each
    once: claim, carry out, keep the answer
    keeping: what of an answer is kept
    request_log: claims and answers on the topic
    request_store: the same as a local table

For administrators
    key_routes, audit_routes, replay_routes
    audit_topic: what other services tell for the audit
    replaying: what a replay writes, or why it cannot; pure
    dead_letter_log: reads one letter by its place

CSV
    imports: a folder of its own
"""
