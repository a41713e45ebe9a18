-- What has become of permissions that are on file as active (A5): ended, or used up, as the site found when somebody who
-- had one was turned away. What is on file stays the administration's: a state holds for the version that it was found
-- of, and a newer one makes it void.
create table permission_states (
    permission_id text primary key,
    site_id text not null,
    cardholder_id text not null,
    state text not null,
    permission_version bigint not null,
    decision_id uuid not null,
    result text not null,  -- what verifying again gave
    decided_at timestamptz not null,
    incarnation bigint not null,
    position bigint not null
);

create view permission_status as
select r.id as permission_id, r.value ->> 'site_id' as site_id, r.cardholder_id, r.value ->> 'kind' as kind,
    r.value ->> 'status' as on_file,
    case when s.permission_version >= r.position then s.state else r.value ->> 'status' end as state,
    case when s.permission_version >= r.position then s.decided_at end as found_at
from reference r left join permission_states s on s.permission_id = r.id and s.incarnation = r.incarnation
where r.entity = 'permission' and r.value is not null and r.incarnation = (select max(incarnation) from reference);

-- Denials by what they are an exception of, and what was found of a permission that let nobody in.
create view access_exceptions as
select decision_id, site_id, access_point_id, cardholder_id, permission_id, outcome, reason,
    value #>> '{exception,kind}' as exception, value #>> '{exception,permission_state}' as permission_state,
    (value #>> '{exception,retried}')::boolean as retried, decided_at
from decisions where jsonb_typeof(value -> 'exception') = 'object';
