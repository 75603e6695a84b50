-- Two log-ins and the database, made once by a superuser. The passwords come from the environment, so that no file has them:
--   CDP_OWNER_PASSWORD=... CDP_APP_PASSWORD=... psql --no-psqlrc -v ON_ERROR_STOP=1 -f deploy/postgres/10-roles.sql
-- (psql 15 or newer). The container of deploy/compose.yaml runs it by itself at its first start.
\getenv owner_password CDP_OWNER_PASSWORD
\getenv app_password CDP_APP_PASSWORD
SET log_statement = 'none';
-- The owner makes tables and changes them; only migrations log in so. Neither is a superuser, neither is the other.
CREATE ROLE cdp_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'owner_password';
CREATE ROLE cdp_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'app_password';
-- C sorts alike on every machine and in every release, so an update of the system's own library harms no index.
CREATE DATABASE cdp OWNER cdp_owner TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8';
REVOKE ALL ON DATABASE cdp FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE cdp TO cdp_app;
-- The group of log-ins for BI tools, which see the views of the schema bi (docs/guides/bi.md).
CREATE ROLE cdp_bi NOLOGIN;
GRANT cdp_bi TO cdp_owner WITH ADMIN OPTION;
GRANT CONNECT ON DATABASE cdp TO cdp_bi;
