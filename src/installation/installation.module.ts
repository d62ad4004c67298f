import { Module } from '@nestjs/common';
import { SecretWatch } from './secret-watch.js';

/** Which installation this is, and which secrets it has. */
@Module({ providers: [SecretWatch] })
export class InstallationModule {}
