import { Module } from '@nestjs/common';
import { Installation } from './installation.js';
import { SecretWatch } from './secret-watch.js';

/** Which installation this is, and which secrets it has. */
@Module({ providers: [Installation, SecretWatch], exports: [Installation] })
export class InstallationModule {}
