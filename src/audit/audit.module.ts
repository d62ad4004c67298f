import { Global, Module } from '@nestjs/common';
import { ChangePropagation, ImmediatePropagation } from './change-propagation.js';
import { Changes } from './changes.js';

/** The audit trail and, with it, the change feed. */
@Global()
@Module({
  providers: [Changes, { provide: ChangePropagation, useClass: ImmediatePropagation }],
  exports: [Changes, ChangePropagation],
})
export class AuditModule {}
