import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { DomainError } from '../common/domain-error.js';
import { isForm } from '../common/form.js';

/** On a route that takes a form nothing else is a body: JSON would be read as one, and mean the same by accident. */
@Injectable()
export class FormOnlyGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    if (request.body === undefined || isForm(request)) return true;
    throw new DomainError(
      'unsupported-media-type',
      'UNSUPPORTED_MEDIA_TYPE',
      'Send the body as application/x-www-form-urlencoded.',
    );
  }
}
