-- Until when the signature of a reference record counts (Unix, milliseconds); 0 where none is asked for. A version whose
-- signature ends sooner than that of the version it would replace is an old one, sent again.
alter table reference add column until_ms bigint not null default 0;
