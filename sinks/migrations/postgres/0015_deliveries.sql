-- How the events stand that subscriptions want: what was said last of each subscription, by partition; those of a site are
-- in one. Nobody can subscribe to duress.
create table delivery_states (
    subscription_id text not null,
    partition integer not null,
    outcome text not null,  -- pending, delivered, failed, dropped
    delivery_id text not null,
    pending bigint not null,
    oldest_at timestamptz,
    due_at timestamptz,
    attempts bigint,
    first_failed_at timestamptz,
    retry_at timestamptz,
    target text not null,
    error text not null,
    updated_at timestamptz not null,
    incarnation bigint not null,
    position bigint not null,
    primary key (subscription_id, partition)
);

-- Every subscription on file, and how it stands.
create view subscriptions as
select r.id as subscription_id, r.value ->> 'name' as name, r.value ->> 'status' as status,
    r.value ->> 'recipient_id' as recipient_id, r.value ->> 'channel' as channel, r.value ->> 'delivery' as delivery,
    r.value -> 'wants' as wants, coalesce(s.pending, 0) as pending, s.oldest_at, s.failing_since, s.retry_at, s.error,
    s.updated_at
from current_reference r
left join lateral (
    select sum(d.pending) as pending, min(d.oldest_at) as oldest_at, max(d.updated_at) as updated_at,
        min(d.first_failed_at) filter (where d.outcome = 'failed') as failing_since,
        min(d.retry_at) filter (where d.outcome = 'failed') as retry_at,
        (array_agg(d.error order by d.updated_at desc) filter (where d.outcome = 'failed'))[1] as error
    from delivery_states d
    where d.subscription_id = r.id and d.incarnation = (select max(incarnation) from delivery_states)
) s on true
where r.entity = 'subscription';
