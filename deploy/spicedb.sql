-- SpiceDB's own database beside Luxxon's; run once, when the server is made.
CREATE DATABASE spicedb;
