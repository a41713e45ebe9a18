-- What became of telling people of alerts, by alert, step, recipient and channel: the last that was said of each. Nothing of
-- duress is kept here.
create table notifications (
    notification_id text not null,
    alert_id text not null,
    site_id text not null,
    step integer not null,
    severity text not null,
    recipient_id text not null,
    asked_for text not null,
    channel text not null,
    instead_of text,
    outcome text not null,  -- sent, failed, held, skipped
    attempts bigint not null,
    target text not null,
    error text not null,
    digest_id text,
    demanded_at timestamptz not null,
    updated_at timestamptz not null,
    incarnation bigint not null,
    position bigint not null,
    primary key (notification_id)
);
create index notifications_of_alerts on notifications (alert_id, step);
create index notifications_failed on notifications (updated_at) where outcome = 'failed';

-- Open alerts whose last step reached nobody, though somebody was to be told.
create view untold_alerts as
select a.alert_id, a.site_id, a.kind, a.severity, a.summary, a.raised_at, n.step, n.errors
from alerts a
join lateral (
    select step, bool_or(outcome = 'sent') as reached, array_agg(distinct channel || ': ' || error) as errors
    from notifications where alert_id = a.alert_id and step > 0 and outcome <> 'skipped'
    group by step order by step desc limit 1
) n on not n.reached
where a.state not in ('closed', 'resolved', 'acknowledged');
