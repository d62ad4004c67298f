import { ApiKeySecret } from '../api-keys/api-key-secret.entity.js';
import { ApiKey } from '../api-keys/api-key.entity.js';
import { Role } from '../roles/role.entity.js';
import { Limit } from '../limits/limit.entity.js';
import { Project } from '../projects/project.entity.js';
import { AuditEvent } from '../audit/audit-event.entity.js';
import { User } from '../users/user.entity.js';

/** Every mapped table. Tables that are only ever written by hand-made SQL are not mapped. */
export const entities = [User, Role, Project, Limit, ApiKey, ApiKeySecret, AuditEvent];
