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

-- As before, and permissions that were updated besides.
create or replace view events as
select incarnation, multiIf(
        classification = 'security', 'security',
        outcome = 'denied' or classification = 'abnormal', 'abnormal',
        'normal'
    ) as event_class, concat('access_', outcome) as type, site_id, door_id, device_id,
    cardholder_id, decided_at as at
from decisions
union all
select incarnation, 'normal', concat('access_', outcome), site_id, door_id, '', cardholder_id, decided_at
from passages
union all
select incarnation, 'security', 'message_refused', site_id, '', device_id, '', decided_at
from refusals
union all
select incarnation, 'security', type, site_id, door_id, '', cardholder_id, at
from lockout_transitions
union all
select incarnation, multiIf(
        type in ('door_forced_open', 'tamper', 'tamper_restored'), 'security',
        type in ('door_pre_alarm', 'door_held_open', 'door_held_open_cleared'), 'abnormal',
        type in ('door_opened', 'door_closed', 'request_to_exit', 'no_entry_after_granted'), 'normal',
        'device'
    ), type, site_id, door_id, device_id, '', received_at
from device_messages
union all
select incarnation, if(event in ('tamper', 'tamper_restored'), 'security', 'device'), 'device_state', site_id, '',
    device_id, '', decided_at
from device_state_events
union all
select incarnation, 'device', 'device_exception', site_id, '', device_id, '', decided_at
from device_exception_steps
union all
select incarnation, 'abnormal', 'permission_updated', site_id, door_id, '', cardholder_id, decided_at
from permission_updates
union all
select incarnation, 'security', type, site_id, '', '', '', at
from incident_steps
union all
select incarnation, if(type = 'abnormal_passage', 'abnormal', 'security'), type, site_id, door_id, device_id,
    cardholder_id, at
from threat_events
union all
select incarnation, multiIf(
        kind in ('authentication_failed', 'soft_breach', 'door_held_open', 'door_pre_alarm',
            'offline_difference', 'permission_updated', 'abnormal_passage'), 'abnormal',
        kind in ('controller_offline', 'site_offline', 'network_outage', 'fault', 'power_failure', 'battery_low',
            'clock_wrong', 'flapping', 'offline_mode', 'door_mode_unconfirmed', 'door_mode_drift'), 'device',
        'security'
    ), type, site_id, door_id, device_id, cardholder_id, updated_at
from alert_transitions;
