import { applyDecorators, SetMetadata, UseInterceptors } from '@nestjs/common';
import { AUDITED, type AuditedAct } from '../access/access-rule.js';
import { AuditInterceptor } from './audit.interceptor.js';

/** Names the act in the audit trail: reads by the interceptor, changes by the service, refusals by the filter. */
export const Audited = (action: string, resourceType: string, options: Pick<AuditedAct, 'isRead'> = {}) =>
  applyDecorators(
    SetMetadata(AUDITED, { action, resourceType, ...options } satisfies AuditedAct),
    UseInterceptors(AuditInterceptor),
  );
