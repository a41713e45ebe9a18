-- Threats with their assessment (A5, M2), and what followed: monitoring, threat levels, abnormal passages. Those of
-- duress are kept apart, for monitoring alone: grant `duress_threats` to nobody else.
create table threats (
    threat_id text not null,
    incarnation bigint not null,
    site_id text not null,
    kind text not null,
    level text not null,
    score bigint not null,
    factors jsonb not null,
    response text not null,
    summary text not null,
    zone_id text,
    door_id text,
    access_point_id text,
    device_id text,
    cardholder_id text,
    cause_type text not null,
    cause_id text not null,
    plan_proposed text,
    scope_zone_id text,
    monitored_until timestamptz,
    occurred_at timestamptz not null,
    decided_at timestamptz not null,
    primary key (threat_id, incarnation)
);
create index threats_by_time on threats (site_id, decided_at);
create table duress_threats (like threats including all);

create table threat_events (
    event_id text not null,
    incarnation bigint not null,
    type text not null,
    site_id text not null,
    threat_key text not null,
    threat_id text,
    zone_id text,
    cardholder_id text,
    level text,
    source text,
    until timestamptz,
    cause text,
    operator_id text,
    request_id text,
    reason text not null,
    decided_at timestamptz not null,
    value jsonb not null,
    position bigint not null,
    primary key (event_id, incarnation)
);
create index threat_events_by_key on threat_events (threat_key, position);
create index threat_events_by_threat on threat_events (threat_id);

-- What was last said of each level and each heightened monitoring, where it is not over.
create view threat_levels as
select * from (
    select distinct on (threat_key, source) site_id, zone_id, source, level, (value ->> 'clearance')::int as clearance,
        value ->> 'in_force' as in_force, (value ->> 'since')::timestamptz as since, until, threat_id,
        value ->> 'plan_proposed' as plan_proposed, value ->> 'incident_id' as incident_id, operator_id, reason, type
    from threat_events
    where type in ('threat_level_set', 'threat_level_cleared')
        and incarnation = (select max(incarnation) from threat_events)
    order by threat_key, source, position desc
) latest where type = 'threat_level_set' and (until is null or until > now());

create view monitored_now as
select * from (
    select distinct on (threat_key) site_id, value ->> 'subject' as subject, value ->> 'subject_id' as subject_id,
        (value ->> 'started_at')::timestamptz as started_at, until, threat_id, (value ->> 'events')::bigint as events, type
    from threat_events
    where type in ('monitoring_started', 'monitoring_extended', 'monitoring_ended')
        and incarnation = (select max(incarnation) from threat_events)
    order by threat_key, position desc
) latest where type <> 'monitoring_ended' and until > now();

-- Who or what, when, and how it was handled: by which response, and how that ended. What was only recorded is handled
-- thereby; all else by the end of its level or monitoring, or by whoever closed its alert.
create view security_log as
select t.threat_id, t.site_id, t.occurred_at, t.kind, t.summary, t.level, t.score, t.factors, t.zone_id, t.door_id,
    t.access_point_id, t.device_id, t.cardholder_id, t.response, t.plan_proposed,
    coalesce(ended.cause, case when t.response = 'recorded' then 'recorded' end) as handled,
    coalesce(ended.decided_at, case when t.response = 'recorded' then t.decided_at end) as handled_at,
    coalesce(ended.operator_id, alert.value ->> 'acknowledged_by') as handled_by,
    coalesce(nullif(ended.reason, ''), alert.value ->> 'result') as how, alert.alert_id, alert.state as alert_state
from threats t
left join lateral (
    select e.cause, e.decided_at, e.operator_id, e.reason from threat_events e
    where e.incarnation = t.incarnation and e.decided_at >= t.decided_at and (
        (t.plan_proposed is not null and e.type = 'threat_level_cleared' and e.source = 'assessment'
            and e.zone_id = t.scope_zone_id)
        or (t.plan_proposed is null and t.monitored_until is not null and e.type = 'monitoring_ended'
            and (e.zone_id = t.zone_id or e.cardholder_id = t.cardholder_id))
    ) order by e.decided_at, e.position limit 1
) ended on true
left join alerts alert on alert.value -> 'threat' ->> 'threat_id' = t.threat_id;
