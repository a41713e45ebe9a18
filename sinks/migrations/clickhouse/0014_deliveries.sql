-- What became of the events that subscriptions want; `topics` and `offsets` say where these are, in the same partition.
create table delivery_outcomes_rows (
    incarnation UInt64,
    subscription_id LowCardinality(String),
    delivery_id String,
    outcome LowCardinality(String),
    delivery LowCardinality(String),
    partition UInt32,
    journal_number UInt64,
    events UInt32,
    missing UInt32,
    pending UInt64,
    oldest_at Nullable(DateTime64(3, 'UTC')),
    attempts UInt32,
    target String,
    error String,
    topics Array(LowCardinality(String)),
    offsets Array(UInt64),
    updated_at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(updated_at)
order by (subscription_id, updated_at, delivery_id, outcome, partition, journal_number, incarnation);

create view delivery_outcomes as select * from delivery_outcomes_rows final;

-- How much each subscription was sent, and how well that went.
create view deliveries_by_day as
select toDate(updated_at) as day, subscription_id, sumIf(events, outcome = 'delivered') as delivered,
    sumIf(events, outcome = 'dropped') as dropped, sum(missing) as missing, countIf(outcome = 'delivered') as deliveries,
    countIf(outcome = 'failed') as failed_attempts, max(pending) as most_pending
from delivery_outcomes group by day, subscription_id;
