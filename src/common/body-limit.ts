import { RouteConfig } from '@nestjs/platform-fastify';
import type { RouteOptions } from 'fastify';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set by `@BodyLimit`. */
    bodyLimitBytes?: number;
  }
}

/** Largest body of the few routes that take many things at once. */
export const BATCH_BODY_BYTES = 1024 * 1024;

/** Bodies of this route may have as many bytes; above that it is 413, like everywhere. */
export const BodyLimit = (bytes: number) => RouteConfig({ bodyLimitBytes: bytes });

/** Fastify's `onRoute` hook behind `@BodyLimit`; Nest has no door to the option itself. */
export function applyBodyLimit(route: RouteOptions): void {
  const { bodyLimitBytes } = route.config ?? {};
  if (bodyLimitBytes !== undefined) route.bodyLimit = bodyLimitBytes;
}
