-- Alerts with their whole history (M3): what operators said and did, and who was to be told. Alerts of duress are kept
-- apart, for monitoring alone: grant `duress_alerts` and `duress_alert_history` to nobody else.
alter table alert_history
    add column transition bigint not null default 0,
    add column active boolean not null default false,
    add column operator_id text,
    add column request_id text,
    add column comment text not null default '',
    add column result text not null default '',
    add column notify jsonb,
    add column action jsonb,
    drop constraint alert_history_pkey,
    add primary key (alert_id, transition, type, updated_at, count, incarnation);

create table duress_alerts (like alerts including all);
create table duress_alert_history (like alert_history including all);
insert into duress_alerts select * from alerts where kind = 'duress';
insert into duress_alert_history
select h.* from alert_history h join duress_alerts using (alert_id);
delete from alert_history where alert_id in (select alert_id from duress_alerts);
delete from alerts where kind = 'duress';

create or replace view open_alerts as
select alert_id, site_id, kind, severity, state, count, door_id, access_point_id, device_id, cardholder_id, summary,
    raised_at, updated_at, now() - raised_at as age, (value ->> 'active')::boolean as active,
    value ->> 'acknowledged_by' as acknowledged_by, value ->> 'assigned_to' as assigned_to,
    (value ->> 'shelved_until')::timestamptz as shelved_until, value ->> 'suppressed_by' as suppressed_by,
    (value ->> 'next_escalation_at')::timestamptz as next_escalation_at, value ->> 'procedure' as procedure
from alerts where state <> 'closed';

create view open_alerts_by_age as
select site_id, severity,
    case when age < interval '10 minutes' then 'under 10 minutes' when age < interval '1 hour' then 'under 1 hour'
        when age < interval '1 day' then 'under 1 day' else '1 day and more' end as aged,
    count(*) as alerts, count(*) filter (where acknowledged_by is null) as unacknowledged,
    count(*) filter (where active) as active, max(age) as oldest
from open_alerts group by site_id, severity, aged;
