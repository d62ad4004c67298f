/**
 * The first call with the TypeScript client, as its README has it. The key comes from the environment, not the source.
 */
export function clientSnippet(publicUrl: string): string {
  return [
    `import { LatchkeyClient } from '@latchkey/client';`,
    '',
    `const latchkey = new LatchkeyClient({ baseUrl: '${publicUrl}', key: process.env.LATCHKEY_KEY });`,
    `const verdict = await latchkey.verify({ key: presentedKey, ip: callerIp });`,
    'if (!verdict.valid) console.log(verdict.code);',
    '',
  ].join('\n');
}
