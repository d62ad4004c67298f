import fastifyStatic from '@fastify/static';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply } from 'fastify';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../config/config.js';

/** Where the console is; its own routes are below. */
export const CONSOLE_PATH = '/console';

/** Where the built page takes the settings of this installation. */
const SETTINGS_MARK = '<!-- settings -->';

const NOT_BUILT = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Latchkey</title>
<h1>The console is not built</h1>
<p>Run <code>npm run build</code> and start the server again. The API works as ever; <a href="/docs">its documentation</a> is here.</p></html>`;

/**
 * Serves the console: its files under names that carry their hash, for good, and its page for every other path below,
 * because the page knows its own routes. Where the console has not been built a page says so, with 503.
 */
export async function serveConsole(app: NestFastifyApplication, config: Config): Promise<void> {
  const fastify = app.getHttpAdapter().getInstance();
  const folder = findBuild();
  const page = folder === null ? null : withSettings(readFileSync(join(folder, 'index.html'), 'utf8'), config);
  if (folder !== null) {
    await app.register(fastifyStatic as never, {
      root: join(folder, 'assets'),
      prefix: `${CONSOLE_PATH}/assets/`,
      decorateReply: false,
      index: false,
      preCompressed: true,
      immutable: true,
      maxAge: '365d',
    });
  }
  const answer = (_request: unknown, reply: FastifyReply) => {
    // With Helmet's `no-referrer` a browser sends `Origin: null`, and every change under the cookie would be refused.
    void reply.header('Referrer-Policy', 'same-origin');
    void reply.header('Cache-Control', 'no-cache').type('text/html; charset=utf-8');
    return page === null ? reply.code(503).send(NOT_BUILT) : reply.send(page);
  };
  fastify.get(CONSOLE_PATH, answer);
  fastify.get(`${CONSOLE_PATH}/*`, answer);
}

/** From the sources and from the build, which is one folder deeper, the way up to the package is another. */
function findBuild(): string | null {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const built = join(folder, 'console', 'dist');
    if (existsSync(join(built, 'index.html'))) return built;
    if (existsSync(join(folder, 'package-lock.json'))) return null;
  }
  return null;
}

function withSettings(html: string, config: Config): string {
  const tags = [
    meta('public-url', config.publicUrl),
    meta('currency', config.currency),
    meta('key-prefix', config.apiKeyPrefix),
    meta('key-validity-days', String(config.keyValidityDays)),
    meta('max-active-keys', String(config.maxActiveKeys)),
    ...(config.swaggerEnabled ? [meta('api-reference', '/docs')] : []),
    ...(config.oidc?.client ? [meta('identity-provider', config.oidc.client.name)] : []),
  ];
  return html.replace(SETTINGS_MARK, () => tags.join('\n    '));
}

function meta(name: string, value: string): string {
  return `<meta name="latchkey:${name}" content="${value.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')}" />`;
}
