-- Every step of the exceptions of devices (A5) and of their repair (D3).
create table device_exception_steps_rows (
    incarnation UInt64,
    case_id UUID,
    transition UInt64,
    step LowCardinality(String),
    state LowCardinality(String),
    site_id LowCardinality(String),
    device_id LowCardinality(String),
    model LowCardinality(String),
    cause LowCardinality(String),
    nature LowCardinality(String),
    active Bool,
    began_at DateTime64(3, 'UTC'),
    opened_at Nullable(DateTime64(3, 'UTC')),
    assigned_to String,
    operator_id String,
    decided_at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(decided_at)
order by (site_id, device_id, decided_at, case_id, transition, incarnation);

create view device_exception_steps as select * from device_exception_steps_rows final;

-- By day and cause: how many recovered by themselves, how many became cases, and how long a repair took on average.
create view device_exceptions_by_day as
select toDate(began_at) as day, site_id, model, cause, count() as exceptions, countIf(recovered) as recovered,
    countIf(opened is not null) as cases, countIf(closed is not null and opened is not null) as closed_cases,
    round(avg(dateDiff('millisecond', opened, repaired)) / 1000, 1) as mean_repair_s
from (
    select incarnation, case_id, any(s.site_id) as site_id, any(s.model) as model, any(s.cause) as cause,
        min(s.began_at) as began_at, max(s.step = 'recovered') as recovered, minOrNull(s.opened_at) as opened,
        maxOrNullIf(s.decided_at, s.step = 'repaired') as repaired, maxOrNullIf(s.decided_at, s.step = 'closed') as closed
    from device_exception_steps as s group by incarnation, case_id
) group by day, site_id, model, cause;
