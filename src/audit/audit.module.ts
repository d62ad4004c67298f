import { Global, Module } from '@nestjs/common';
import { Changes } from './changes.js';

/** The audit trail and, with it, the change feed. */
@Global()
@Module({ providers: [Changes], exports: [Changes] })
export class AuditModule {}
