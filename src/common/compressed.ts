import { RouteConfig } from '@nestjs/platform-fastify';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set by `@Compressed`. */
    isCompressed?: boolean;
  }
}

/**
 * Answers of this route are compressed for clients that take it. For long lists and exports; never for an answer that
 * may show a secret beside text of the caller's choice, whose length would tell of it, nor on the data plane.
 */
export const Compressed = () => RouteConfig({ isCompressed: true });
