import {
  applyDecorators,
  type CallHandler,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  SetMetadata,
  UseInterceptors,
} from '@nestjs/common';
import { ApiQuery } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { concatMap, type Observable } from 'rxjs';
import { oneOf } from '../../packages/contract/src/grammar.js';
import { below, type Fault, SENTENCES } from '../../packages/contract/src/schema.js';
import { validationFailed } from '../common/domain-error.js';
import { faultsOfField, optional } from '../common/field.js';
import { ChangePropagation } from './change-propagation.js';

/** Holds an answer back until what it tells has been applied by every replica, where `?wait=true` asks for it. */
@Injectable()
export class WaitForReplicas implements NestInterceptor {
  constructor(private readonly propagation: ChangePropagation) {}

  /** @throws DomainError 400 for any other word or parameter, before anything is done */
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { query } = context.switchToHttp().getRequest<FastifyRequest<{ Querystring: Record<string, unknown> }>>();
    const hasQuery = Reflect.getMetadata(HAS_QUERY, context.getHandler()) === true;
    const faults = Object.entries(query).flatMap(([name, value]) =>
      hasQuery && name !== 'wait' ? [] : faultsOfParameter(name, value),
    );
    if (faults.length > 0) throw validationFailed(faults);
    if (query['wait'] !== 'true') return next.handle();
    return next.handle().pipe(
      concatMap(async (answer: unknown) => {
        await this.propagation.waitUntilApplied(null);
        return answer;
      }),
    );
  }
}

const HAS_QUERY = 'latchkey:wait-has-query';

const WAIT = optional(oneOf(['true', 'false']));

function faultsOfParameter(name: string, value: unknown): readonly Fault[] {
  if (name !== 'wait') return [{ path: name, message: SENTENCES.unknown }];
  if (Array.isArray(value)) return [{ path: name, message: SENTENCES.repeated }];
  return below(name, faultsOfField(WAIT, value));
}

/**
 * For changes that narrow what keys may do, and for imports, which replicas must know of. The query of such a route has
 * `wait` and nothing else; `hasQuery`: its DTO names `wait` too, and the pipe refuses what the DTO does not name.
 */
export const WaitsForReplicas = ({ hasQuery = false } = {}) =>
  applyDecorators(
    SetMetadata(HAS_QUERY, hasQuery),
    UseInterceptors(WaitForReplicas),
    ApiQuery({
      name: 'wait',
      required: false,
      enum: ['true', 'false'],
      description: '`true`: answer only once every replica has applied the change.',
      example: 'true',
    }),
  );
