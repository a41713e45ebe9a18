-- Every lock, from its start to its end (A4). `scope` says whether it holds at the site or everywhere; the end is null
-- while it is in force, and `locked_until` where only somebody ends it.
create table lockouts (
    lockout_id uuid not null,
    incarnation bigint not null,
    lockout_key text not null,
    site_id text not null,
    scope text not null,
    subject text not null,
    subject_id text not null,
    cardholder_id text,
    credential_id text,
    access_point_id text not null,
    door_id text,
    failures integer not null,
    window_s integer not null,
    numbers integer,
    first_failed_at timestamptz not null,
    last_failed_at timestamptz not null,
    last_reason text not null,
    decision_id uuid not null,
    number integer not null,
    started_at timestamptz not null,
    locked_until timestamptz,
    ended_at timestamptz,
    cause text,
    request_id text,
    operator_id text,
    reason text not null,
    step smallint not null,  -- 0 started, 1 ended
    primary key (lockout_id, incarnation)
);
create index lockouts_by_subject on lockouts (subject, subject_id, started_at);

create view lockouts_in_force as
select site_id, scope, subject, subject_id, cardholder_id, credential_id, access_point_id, door_id, number, failures,
    window_s, numbers, lockout_key,
    last_reason, started_at, locked_until, lockout_id
from lockouts
where ended_at is null and (locked_until is null or locked_until > now())
    and incarnation = (select max(incarnation) from lockouts);
