-- Whether a lockdown that somebody was refused for is for practice (E2).
alter table decisions_rows add column if not exists drill Bool;
create or replace view decisions as select * from decisions_rows final;
