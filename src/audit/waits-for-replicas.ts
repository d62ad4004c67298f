import {
  applyDecorators,
  type CallHandler,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  UseInterceptors,
} from '@nestjs/common';
import { ApiQuery } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { concatMap, type Observable } from 'rxjs';
import { validationFailed } from '../common/domain-error.js';
import { ChangePropagation } from './change-propagation.js';

/** Holds an answer back until what it tells has been applied by every replica, where `?wait=true` asks for it. */
@Injectable()
export class WaitForReplicas implements NestInterceptor {
  constructor(private readonly propagation: ChangePropagation) {}

  /** @throws DomainError 400 for any other word, before anything is done */
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { wait } = context.switchToHttp().getRequest<FastifyRequest<{ Querystring: { wait?: unknown } }>>().query;
    if (wait !== undefined && wait !== 'true' && wait !== 'false') {
      throw validationFailed([{ path: 'wait', message: 'must be true or false' }]);
    }
    if (wait !== 'true') return next.handle();
    return next.handle().pipe(
      concatMap(async (answer: unknown) => {
        await this.propagation.waitUntilApplied(null);
        return answer;
      }),
    );
  }
}

/** For changes of users and roles that narrow what their keys may do, and for imports, which replicas must know of. */
export const WaitsForReplicas = () =>
  applyDecorators(
    UseInterceptors(WaitForReplicas),
    ApiQuery({
      name: 'wait',
      required: false,
      enum: ['true', 'false'],
      description: '`true`: answer only once every replica has applied the change.',
      example: 'true',
    }),
  );
