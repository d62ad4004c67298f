import { Module } from '@nestjs/common';
import { ChangeLog } from './change-log.js';

/** What a running server does for the day its database is restored. */
@Module({ providers: [ChangeLog] })
export class BackupModule {}
