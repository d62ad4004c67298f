import type { FastifyRequest } from 'fastify';

const FORM = /^application\/x-www-form-urlencoded *(?:;|$)/i;

/** Whether the body is declared as a form. */
export function isForm({ headers }: Pick<FastifyRequest, 'headers'>): boolean {
  return FORM.test(headers['content-type'] ?? '');
}
