import { Module } from '@nestjs/common';
import { TableWatch } from './table-watch.js';

/** What compares the tables with the audit trail. */
@Module({ providers: [TableWatch], exports: [TableWatch] })
export class IntegrityModule {}
