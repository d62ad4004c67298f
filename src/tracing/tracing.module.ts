import { Module } from '@nestjs/common';
import { Traces } from './traces.js';

/** Traces of requests, where `TRACES_URL` is set. */
@Module({ providers: [Traces], exports: [Traces] })
export class TracingModule {}
