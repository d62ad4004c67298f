import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { type Observable, tap } from 'rxjs';
import { AUDITED, type AuditedAct } from '../access/access-rule.js';
import { namedResource } from './named-resource.js';
import { ReadRecorder } from './reads/read-recorder.js';

const READING = new Set(['GET', 'HEAD']);

/**
 * Bound by `@Audited`: records reads of its routes once they have succeeded, without holding up the answer. Changes
 * record themselves, in their own transaction; refusals never get here, because guards run before interceptors.
 */
@Injectable()
export class AuditInterceptor implements NestInterceptor {
  constructor(
    private readonly reflector: Reflector,
    private readonly recorder: ReadRecorder,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const audited = this.reflector.getAllAndOverride<AuditedAct | undefined>(AUDITED, [
      context.getHandler(),
      context.getClass(),
    ]);
    if (!audited || !(audited.isRead || READING.has(request.method))) return next.handle();
    return next.handle().pipe(tap({ complete: () => this.record(audited, request) }));
  }

  private record({ action, resourceType }: AuditedAct, request: FastifyRequest): void {
    const { caller } = request;
    if (caller) this.recorder.record(caller, { action, resourceType, ...namedResource(request.params) });
  }
}
