import {
  applyDecorators,
  type CallHandler,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  SetMetadata,
  type Type,
  UseInterceptors,
} from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { Reflector } from '@nestjs/core';
import { ApiQuery } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { concatMap, type Observable } from 'rxjs';
import { oneOf } from '../../packages/contract/src/grammar.js';
import { below, type Fault, SENTENCES } from '../../packages/contract/src/schema.js';
import { validationFailed } from '../common/domain-error.js';
import { faultsOfField, optional } from '../common/field.js';
import { ChangePropagation } from './change-propagation.js';

/** Marks a route whose query has a DTO of its own. */
const HAS_QUERY = 'waits-for-replicas:has-query';

/** Holds an answer back until what it tells has been applied by every replica, where `?wait=true` asks for it. */
@Injectable()
export class WaitForReplicas implements NestInterceptor {
  constructor(
    private readonly propagation: ChangePropagation,
    private readonly reflector: Reflector,
  ) {}

  /** @throws DomainError 400 for any other word, or parameter where `wait` is the only one, before anything is done */
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { query } = context.switchToHttp().getRequest<FastifyRequest<{ Querystring: Record<string, unknown> }>>();
    const hasQuery = this.reflector.get<boolean>(HAS_QUERY, context.getHandler()) ?? false;
    const judged = Object.entries(query).filter(([name]) => name === 'wait' || !hasQuery);
    const faults = judged.flatMap(([name, value]) => faultsOfParameter(name, value));
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

const WAIT = optional(oneOf(['true', 'false']));

function faultsOfParameter(name: string, value: unknown): readonly Fault[] {
  if (name !== 'wait') return [{ path: name, message: SENTENCES.unknown }];
  if (Array.isArray(value)) return [{ path: name, message: SENTENCES.repeated }];
  return below(name, faultsOfField(WAIT, value));
}

/**
 * For changes that narrow what keys may do, and for imports, which replicas must know of. The query of such a route has
 * `wait` and nothing else, unless `besides` names the DTO of its `@Query()`, which judges all other parameters.
 */
export const WaitsForReplicas = ({ besides }: { besides?: Type<{ wait?: 'true' | 'false' }> } = {}) =>
  applyDecorators(
    (controller: object, name: string | symbol) => {
      if (hasQueryOfItsOwn(controller, name) !== (besides !== undefined))
        throw new TypeError(
          `${String(name)}: \`besides\` of @WaitsForReplicas names the DTO of its @Query(), and no other.`,
        );
    },
    SetMetadata(HAS_QUERY, besides !== undefined),
    UseInterceptors(WaitForReplicas),
    ApiQuery({
      name: 'wait',
      required: false,
      enum: ['true', 'false'],
      description: '`true`: answer only once every replica has applied the change.',
      example: 'true',
    }),
  );

/** Decorators of parameters run before those of their method. */
function hasQueryOfItsOwn({ constructor }: object, name: string | symbol): boolean {
  const parameters = (Reflect.getMetadata(ROUTE_ARGS_METADATA, constructor, name) ?? {}) as Record<string, unknown>;
  return Object.keys(parameters).some((one) => one.startsWith(`${RouteParamtypes.QUERY}:`));
}
