import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import ts from 'typescript';
import { blocksOf, filled } from './proxy.js';

const SOURCE = new URL('../../console/src/connect/nginx-snippet.ts', `file://${import.meta.dirname}/`);

describe('the console’s configuration of nginx', () => {
  it('is the one of docs/gateways/nginx.md, without its scope', async () => {
    const nginxSnippet = await snippetOfConsole();
    const [tenLines] = await blocksOf('nginx.md', 'nginx');
    const expected = filled(tenLines!, {
      '127.0.0.1:3000': 'keys.internal:3000',
      GATEWAY_KEY: 'lk_live_x',
      '&scope=chat:write': '',
    });
    expect(nginxSnippet('http://keys.internal:3000', 'lk_live_x')).toBe(expected);
  });

  it('names the server in the handshake where Latchkey is behind TLS', async () => {
    const nginxSnippet = await snippetOfConsole();
    expect(nginxSnippet('https://keys.example.com', 'k')).toContain(
      'proxy_pass https://keys.example.com/api/v1/forward-auth?mode=nginx;\n  proxy_ssl_server_name on;\n',
    );
  });
});

/** The console is a package of its own, for browsers: its function is read from the source, and run here. */
async function snippetOfConsole(): Promise<(publicUrl: string, gatewayKey: string) => string> {
  const source = await readFile(SOURCE, 'utf8');
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  });
  const module = (await import(`data:text/javascript,${encodeURIComponent(outputText)}`)) as {
    nginxSnippet: (publicUrl: string, gatewayKey: string) => string;
  };
  return module.nginxSnippet;
}
