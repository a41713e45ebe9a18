-- What a decision is an exception of (A5), how the permission stood, and whether it was verified again.
alter table decisions_rows
    add column if not exists exception LowCardinality(String),
    add column if not exists permission_state LowCardinality(String),
    add column if not exists retried Bool;
create or replace view decisions as select * from decisions_rows final;

create table permission_updates_rows (
    incarnation UInt64,
    update_id UUID,
    site_id LowCardinality(String),
    permission_id String,
    cardholder_id String,
    door_id LowCardinality(String),
    state LowCardinality(String),
    result LowCardinality(String),
    decision_id UUID,
    decided_at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(decided_at) order by (site_id, decided_at, update_id, incarnation);

create view permission_updates as select * from permission_updates_rows final;

create view exceptions_by_day as
select toDate(decided_at) as day, site_id, exception, permission_state, count() as decisions,
    countIf(retried) as verified_again, countIf(retried and outcome = 'granted') as granted_then
from decisions where exception != '' group by day, site_id, exception, permission_state;
