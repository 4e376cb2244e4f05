"""PostgreSQL: the unit of work, the repositories of every slice, schema and migrations, embedded server."""
