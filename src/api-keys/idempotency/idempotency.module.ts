import { Module } from '@nestjs/common';
import { Idempotency } from './idempotency.js';
import { IdempotencyRepository } from './idempotency.repository.js';
import { IdempotencySweep } from './idempotency-sweep.js';

/** Answers kept for retries. */
@Module({ providers: [Idempotency, IdempotencyRepository, IdempotencySweep], exports: [Idempotency] })
export class IdempotencyModule {}
