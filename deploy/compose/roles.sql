-- The server works as this role, so that not even it can alter the audit trail (docs/operations.md#roles-in-postgresql).
CREATE ROLE latchkey_app;
