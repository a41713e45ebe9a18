-- Every step of every lock (A4): that it is near, its start and its end. `locked_until` is null where only somebody ends
-- it; `scope` says whether it holds at the site or everywhere.
create table lockout_transitions_rows (
    incarnation UInt64,
    lockout_id UUID,
    type LowCardinality(String),
    site_id LowCardinality(String),
    scope LowCardinality(String),
    subject LowCardinality(String),
    subject_id String,
    cardholder_id String,
    credential_id String,
    access_point_id LowCardinality(String),
    door_id LowCardinality(String),
    failures UInt32,
    numbers UInt32,
    last_reason LowCardinality(String),
    decision_id UUID,
    number UInt32,
    started_at Nullable(DateTime64(3, 'UTC')),
    locked_until Nullable(DateTime64(3, 'UTC')),
    cause LowCardinality(String),
    operator_id String,
    at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(at) order by (site_id, at, lockout_id, type, incarnation);

create view lockout_transitions as select * from lockout_transitions_rows final;

create view lockouts_by_day as
select toDate(at) as day, site_id, scope, subject,
    uniqExactIf((incarnation, lockout_id), type = 'lockout_started') as locks,
    uniqExactIf((incarnation, lockout_id), type = 'lockout_ended' and cause = 'operator') as ended_by_operators,
    uniqExactIf((incarnation, lockout_id), type = 'lockout_started' and locked_until is null) as without_end
from lockout_transitions group by day, site_id, scope, subject;
