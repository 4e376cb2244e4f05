-- name: send
select pg_notify('luxxon_control', part) from unnest($1::text[]) with ordinality as parts (part, place) order by place;
