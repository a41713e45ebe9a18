-- Exceptions of devices (A5): diagnosed, awaited to recover, and under repair where they do not. Each as it stands, and
-- all its steps.
create table device_exceptions (
    case_id uuid primary key,
    transition bigint not null,
    step text not null,
    state text not null,
    site_id text not null,
    device_id text not null,
    model text not null,
    cause text not null,
    detail text not null,
    nature text not null,
    active boolean not null,  -- whether the fault is still there
    began_at timestamptz not null,
    recover_by timestamptz,
    opened_at timestamptz,  -- null where there is no repair case
    repaired_at timestamptz,
    assigned_to text,
    result text not null,
    decided_at timestamptz not null,
    value jsonb not null,
    incarnation bigint not null
);
create index device_exceptions_by_device on device_exceptions (site_id, device_id);

create table device_exception_history (
    case_id uuid not null,
    transition bigint not null,
    step text not null,
    state text not null,
    nature text not null,
    active boolean not null,
    assigned_to text,
    result text not null,
    operator_id text,
    request_id text,
    comment text not null,
    decided_at timestamptz not null,
    incarnation bigint not null,
    primary key (case_id, transition, incarnation)
);

create view repair_cases as
select case_id, site_id, device_id, model, cause, detail, state, active, began_at, opened_at, repaired_at, assigned_to,
    result, case when state = 'closed' then decided_at end as closed_at, value ->> 'remedy' as remedy
from device_exceptions where opened_at is not null;

create view open_repair_cases as
select case_id, site_id, device_id, model, cause, detail, state, active, began_at, opened_at, assigned_to, remedy,
    now() - opened_at as age
from repair_cases where state <> 'closed';

-- From the opening of a case to the last time that its fault was repaired.
create view mean_time_to_repair as
select site_id, model, cause, count(*) as cases, avg(repaired_at - opened_at) as mean, max(repaired_at - opened_at) as longest
from repair_cases where state = 'closed' and repaired_at is not null group by site_id, model, cause;
