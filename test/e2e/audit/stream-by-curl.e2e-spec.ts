import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn, spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { verifyCopy } from '../../../src/audit/verify-command.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { createTestDirectory } from '../../support/postgres.js';

const hasCurl = spawnSync('curl', ['--version']).status === 0;
if (!hasCurl) console.warn('SKIPPED: the stream as docs/audit-trail.md reads it needs curl.');

/** What becomes of a connection: cut after so many octets of the answer, refused by a gateway, or left alone. */
type Fate = number | 'refused' | 'whole';

/** An address in front of a server whose connections have the given fates, one after the other. */
async function inFrontOf(baseUrl: string, fates: readonly Fate[]): Promise<Server> {
  const left = [...fates];
  const problem = '{"type":"about:blank","status":503,"detail":"A gateway answers."}';
  const refusal = `HTTP/1.1 503 Service Unavailable\r\nContent-Length: ${problem.length}\r\nConnection: close\r\n\r\n${problem}`;
  const server = createServer((caller) => {
    caller.on('error', () => undefined);
    const fate = left.shift() ?? 'whole';
    if (fate === 'refused') {
      caller.once('data', () => caller.end(refusal));
      return;
    }
    const behind = connect(Number(new URL(baseUrl).port), '127.0.0.1').on('error', () => undefined);
    caller.pipe(behind);
    let passed = 0;
    behind.on('data', (octets: Buffer) => {
      const rest = fate === 'whole' ? octets.length : Math.max(0, fate - passed);
      passed += octets.length;
      caller.write(octets.subarray(0, rest));
      if (rest < octets.length) caller.end(() => caller.destroy());
    });
    for (const [one, other] of [
      [caller, behind],
      [behind, caller],
    ] as const)
      one.once('close', () => other.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

describe('The stream as docs/audit-trail.md reads it with curl', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('goes on behind the last line that is whole, whatever the end of a cut one looks like', async () => {
    const page = await readFile('docs/audit-trail.md', 'utf8');
    const [, printed] = /^ {2}(after=\$\([\s\S]*?tail -n 1\))$/m.exec(page)!;
    const directory = await createTestDirectory();
    const token = await app.adminToken();
    const lines = String((await app.get('/audit-events/export', { token })).body).split('\n');
    const upTo = (n: number) => `${lines.slice(0, n).join('\n')}\n`;
    const cut = (n: number) => lines[n]!.slice(0, lines[n]!.indexOf(',"action"'));
    expect(cut(2).endsWith('}')).toBe(true);
    for (const [text, after] of [
      ['', ''],
      [upTo(2), '2'],
      // Its connection ended with the last whole line but for the line break, or within an event.
      [`${upTo(2)}${lines[2]}`, '2'],
      [`${upTo(2)}${cut(2)}\n`, '2'],
      [`${upTo(2)}${cut(2)}\n${lines[2]}\n`, '3'],
      // A replica of an earlier release begins without an empty line.
      [`${upTo(2)}${cut(2)}${lines[2]}\n`, '2'],
    ] as const) {
      await writeFile(join(directory, 'changes.ndjson'), text);
      const { stdout } = spawnSync('sh', ['-c', `${printed!}; printf %s "$after"`], {
        cwd: directory,
        encoding: 'utf8',
      });
      expect([text, stdout]).toEqual([text, after]);
    }
  });

  (hasCurl ? it : it.skip)(
    'is a whole copy after connections that ended within a line, and answers of a gateway',
    async () => {
      const token = await app.adminToken();
      const create = () => app.post('/api-keys', { token, body: { metadata: { place: 'ünïcode 😀' } } });
      for (let n = 0; n < 3; n += 1) await create();
      // Within the headers, within an early line, and within a late one.
      const front = await inFrontOf(app.baseUrl, [100, 2_500, 'refused', 4_500, 'refused', 'whole']);
      const directory = await createTestDirectory();
      const page = await readFile('docs/audit-trail.md', 'utf8');
      const [, printed] = /```sh\n(touch changes\.ndjson\n[\s\S]*?)```/.exec(page)!;
      const address = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
      const script = printed!.replace('https://keys.example.com', address).replace('sleep 5', 'sleep 0.1');
      const copying = spawn('sh', ['-c', script], {
        cwd: directory,
        env: { ...process.env, TOKEN: token },
        detached: true,
        stdio: 'ignore',
      });
      const file = join(directory, 'changes.ndjson');
      const text = () => readFile(file, 'utf8').catch(() => '');
      try {
        const [head] = await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head');
        await eventually(async () => expect(await text()).toContain(`"seq":"${head!.seq}"`), 60_000);
        await create();
        await eventually(async () => expect(await text()).toContain(`"seq":"${Number(head!.seq) + 1}"`));
      } finally {
        process.kill(-copying.pid!, 'SIGKILL');
        front.close();
      }
      expect(await text()).not.toContain('A gateway answers.');
      const checked = await verifyCopy(app.config, [file], null);
      expect(checked).toEqual({ exitCode: 0, text: expect.stringMatching(/^The copy is whole: \d+ entries/) });
      expect(checked.text).toMatch(/cut short: [12]\./);
      expect(checked.text).not.toContain('It begins with entry');
    },
    180_000,
  );
});
