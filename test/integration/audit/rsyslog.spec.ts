import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { systemCaller } from '../../../src/access/caller.js';
import { Changes } from '../../../src/audit/changes.js';
import { verifyCopy } from '../../../src/audit/verify-command.js';
import { TestApp } from '../../support/app.js';
import { Authority, hasOpenssl } from '../../support/certificates.js';
import { eventually } from '../../support/eventually.js';
import { createTestDirectory } from '../../support/postgres.js';

const PATIENCE_MS = 60_000;
/** Handshakes that are tried with a daemon that was started. */
const TRIES = 100;

/** Whether rsyslog with TLS can be run; said loudly where not. */
function hasRsyslog(): boolean {
  const isThere = spawnSync('rsyslogd', ['-v']).status === 0;
  const hasTls = spawnSync('sh', ['-c', 'ls /usr/lib/*/rsyslog/lmnsd_gtls.so']).status === 0;
  if (isThere && hasTls) return hasOpenssl();
  process.stderr.write(
    '\nTESTS OF RSYSLOG SKIPPED: there is no rsyslogd with TLS here. Install it (apt-get install rsyslog rsyslog-gnutls).\n\n',
  );
  return false;
}

const withRsyslog = hasRsyslog() ? describe : describe.skip;

withRsyslog('rsyslog as docs/audit-trail.md sets it up', () => {
  let directory: string;
  let port: number;
  let ca: Buffer;
  let daemon: ChildProcess;
  let app: TestApp;

  /** The page's rules, with a port and files of this test. */
  const configuration = async (authority: Authority) => {
    const page = await readFile(join(import.meta.dirname, '../../../docs/audit-trail.md'), 'utf8');
    const [, printed] = /```\n(global\(maxMessageSize[\s\S]+?)```/.exec(page)!;
    const { cert, key } = await authority.issue('rsyslog', 'logs.test');
    const changes = {
      '/etc/rsyslog.d/ca.pem': authority.file,
      '/etc/rsyslog.d/cert.pem': cert,
      '/etc/rsyslog.d/key.pem': key,
      'port="6514"': `port="${port}" address="127.0.0.1"`,
      '/var/log/latchkey-audit.ndjson': join(directory, 'audit.ndjson'),
    };
    expect(Object.keys(changes).filter((text) => !printed!.includes(text))).toEqual([]);
    return Object.entries(changes).reduce((text, [from, to]) => text.replace(from, to), printed!);
  };
  const startDaemon = async () => {
    const options = ['-n', '-f', join(directory, 'rsyslog.conf'), '-i', join(directory, 'rsyslog.pid')];
    // Where another process has its port for a while, it goes on without it: only a handshake shows that it listens.
    for (const deadline = performance.now() + PATIENCE_MS; ; await endDaemon('SIGKILL')) {
      daemon = spawn('rsyslogd', options, { stdio: 'ignore' });
      for (let n = 0; n < TRIES && hasNotEnded(); n += 1, await sleep(100)) if (await takesHandshake()) return;
      if (performance.now() > deadline) throw new Error(`rsyslogd does not listen; it ended with ${daemon.exitCode}`);
    }
  };
  const hasNotEnded = () => daemon.exitCode === null && daemon.signalCode === null;
  const takesHandshake = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port, servername: 'logs.test', ca }, () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false)).setTimeout(5_000, () => socket.destroy(new Error('silent')));
    });
  const endDaemon = async (signal: 'SIGKILL' | 'SIGTERM') => {
    const ended = hasNotEnded() ? once(daemon, 'exit') : null;
    daemon.kill(signal);
    await ended;
  };

  beforeAll(async () => {
    directory = await createTestDirectory();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as { port: number }).port;
    server.close();
    const authority = await Authority.create(directory, 'ca');
    ca = await readFile(authority.file);
    await writeFile(join(directory, 'rsyslog.conf'), await configuration(authority));
    await startDaemon();
    app = await TestApp.start({
      AUDIT_SYSLOG_URL: `tls://127.0.0.1:${port}?servername=logs.test&ca=${authority.file}`,
    });
  }, 3 * PATIENCE_MS);
  afterAll(async () => {
    await app.stop();
    await endDaemon('SIGTERM');
  }, PATIENCE_MS);

  it(
    'keeps a copy that is whole and can be checked, also where it was restarted',
    async () => {
      const write = (rows: number, text: string) =>
        // A process that stands still while it has the head of the trail loses its session, and nothing is made.
        eventually(
          () =>
            app.app.get(Changes).transaction(systemCaller('test:write'), async ({ record }) => {
              for (let n = 0; n < rows; n += 1) record({ resourceType: text, resourceId: String(n) });
            }),
          PATIENCE_MS,
        );
      const isWhole = () =>
        eventually(async () => {
          const [row] = await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head');
          const text = await readFile(join(directory, 'audit.ndjson'), 'utf8').catch(() => '');
          expect(text).toContain(`"seq":"${row!.seq}"`);
          const report = await verifyCopy(app.config, [join(directory, 'audit.ndjson')], null);
          expect([report.exitCode, report.text]).toEqual([0, expect.stringContaining('The copy is whole')]);
          expect(report.text).not.toContain('cut short');
        }, PATIENCE_MS);
      await write(700, 'Grüße 😀 "quoted" 100 %');
      // Longer than rsyslog takes by default.
      await write(2, 'long '.repeat(4_000));
      await isWhole();
      await endDaemon('SIGTERM');
      await write(10, 'meanwhile');
      await startDaemon();
      await write(10, 'after');
      await isWhole();
    },
    4 * PATIENCE_MS,
  );
});
