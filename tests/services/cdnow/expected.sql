-- Every enter and exit that the orders imply, each at its exact instant. Written from what the segments mean in words.
--
-- In:  placed (line, contact_id, instant, partition, record): which record of the input log each order became, and when.
--      orders (line, contact_id, day, cents): the file. Instants are epoch milliseconds; a day begins at 00:00 UTC.
-- Out: one row a change, numbered per contact in the order in which it happens.
WITH
days AS (SELECT 86400000::BIGINT AS day_ms),
-- What is known of a contact from one of its orders until the next.
known AS (
    SELECT
        contact_id,
        partition,
        instant,
        record,
        day AS last_day,
        min(day) OVER (PARTITION BY contact_id) AS first_day,
        row_number() OVER w AS orders,
        sum(cents) OVER w AS cents,
        coalesce(lead(instant) OVER w, 9007199254740991) AS until
    FROM placed JOIN orders USING (line, contact_id)
    WINDOW w AS (PARTITION BY contact_id ORDER BY instant, record)
),
-- Truth right after each order, and the one instant before the next order at which time alone can change it.
truths AS (
    SELECT *, 'repeat-buyers' AS segment_id, orders >= 2 AS now_true, NULL AS turns_at, NULL AS turns_to
    FROM known
    UNION ALL
    SELECT known.*, 'lapsed', orders >= 2 AND instant >= last_day + 60 * day_ms,
        CASE WHEN orders >= 2 THEN last_day + 60 * day_ms END, true
    FROM known, days
    UNION ALL
    SELECT known.*, 'big-and-recent', cents > 20000 AND instant < last_day + 30 * day_ms,
        CASE WHEN cents > 20000 THEN last_day + 30 * day_ms END, false
    FROM known, days
    UNION ALL
    SELECT known.*, 'new-buyers', orders = 1 AND instant < first_day + 7 * day_ms,
        CASE WHEN orders = 1 THEN first_day + 7 * day_ms END, false
    FROM known, days
),
-- A turn at the very instant of the next order comes before it, and no record caused it.
moments AS (
    SELECT contact_id, partition, segment_id, instant, record, 'write' AS cause, now_true AS member FROM truths
    UNION ALL
    SELECT contact_id, partition, segment_id, turns_at, -1, 'time', turns_to FROM truths
    WHERE turns_at > instant AND turns_at <= until
),
changes AS (
    SELECT *, lag(member, 1, false) OVER (PARTITION BY contact_id, segment_id ORDER BY instant, record) AS was_member
    FROM moments
)
SELECT
    contact_id,
    row_number() OVER (PARTITION BY contact_id ORDER BY instant, record, segment_id) AS place,
    segment_id,
    CASE WHEN member THEN 'enter' ELSE 'exit' END AS change,
    instant,
    record,
    cause,
    partition,
    row_number() OVER (PARTITION BY contact_id, instant, record ORDER BY segment_id) - 1 AS number,
    count(*) OVER (PARTITION BY contact_id, instant, record) AS of_number
FROM changes
WHERE member <> was_member
