-- What became of telling people of alerts. Nothing of duress is kept here.
create table notification_outcomes_rows (
    incarnation UInt64,
    notification_id String,
    outcome LowCardinality(String),
    alert_id String,
    site_id LowCardinality(String),
    step UInt32,
    severity LowCardinality(String),
    recipient_id LowCardinality(String),
    asked_for LowCardinality(String),
    channel LowCardinality(String),
    instead_of LowCardinality(String),
    attempts UInt32,
    error String,
    digest_id String,
    demanded_at DateTime64(3, 'UTC'),
    updated_at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(updated_at)
order by (site_id, updated_at, notification_id, outcome, incarnation);

create view notification_outcomes as select * from notification_outcomes_rows final;

-- How reliable and how fast each channel is.
create view notification_channels as
select toDate(updated_at) as day, site_id, channel, countIf(outcome = 'sent') as sent,
    countIf(outcome = 'failed') as failed, countIf(outcome = 'held') as held, countIf(outcome = 'skipped') as skipped,
    countIf(outcome = 'sent' and instead_of != '') as instead_of_another,
    round(quantileIf(0.5)(dateDiff('millisecond', demanded_at, updated_at), outcome = 'sent') / 1000, 1) as median_s,
    round(quantileIf(0.95)(dateDiff('millisecond', demanded_at, updated_at), outcome = 'sent') / 1000, 1) as p95_s
from notification_outcomes group by day, site_id, channel;
