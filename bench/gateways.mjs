/**
 * What nginx' `auth_request` with Latchkey adds to a request: the longer configuration of docs/gateways/nginx.md before
 * a small service, and the same service through the same nginx without it. The two are asked in turn over kept
 * connections, so that whatever else the machine does meets both alike.
 *
 *   node bench/gateways.mjs [--requests 3000]
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent, createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { end, freePort, untilReady } from './processes.mjs';
import { report } from './report.mjs';
import { Latchkey } from './servers/latchkey.mjs';

const { values } = parseArgs({ options: { requests: { type: 'string', default: '3000' } } });
const requests = Number(values.requests);

if (spawnSync('nginx', ['-v']).status !== 0) {
  console.error('There is no nginx here: install it (apt-get install nginx-light).');
  process.exit(2);
}

const service = createServer((_request, response) => response.end('served'));
await new Promise((resolve) => service.listen(0, '127.0.0.1', resolve));
const latchkey = await Latchkey.start({ cpu: null, environment: { TRUSTED_PROXIES: '127.0.0.1' } });
const nginx = await startNginx();
const rows = [];
try {
  const plain = await latchkey.call('/api-keys', { name: 'plain', scopes: ['chat:write'] });
  const limited = await latchkey.call('/api-keys', {
    name: 'limited',
    scopes: ['chat:write'],
    rateLimitPerDay: 1_000_000,
    budgetLimitCents: 1_000_000,
  });
  for (const [name, key] of [
    ['a key without limits', plain],
    ['a key with a rate limit and a budget', limited],
  ]) {
    for (const inFlight of [1, 16]) await compare(`${name}, ${inFlight} in flight`, key.secretKey, inFlight);
  }
} finally {
  await end(nginx.child);
  await rm(nginx.directory, { recursive: true, force: true });
  await latchkey.stop();
  service.closeAllConnections();
  service.close();
}
await report('gateways', rows);

async function compare(name, secret, inFlight) {
  const agent = new Agent({ keepAlive: true, maxSockets: 2 * inFlight });
  const took = { with: [], without: [] };
  const ask = async (kind, isCounted) => {
    const ms = await timed(agent, kind === 'with' ? '/' : '/without', secret);
    if (isCounted) took[kind].push(ms);
  };
  const worker = async (count, isCounted) => {
    for (let turn = 0; turn < count; turn += 1) {
      const order = turn % 2 === 0 ? ['with', 'without'] : ['without', 'with'];
      for (const kind of order) await ask(kind, isCounted);
    }
  };
  await worker(200, false);
  await Promise.all(Array.from({ length: inFlight }, () => worker(Math.ceil(requests / inFlight), true)));
  agent.destroy();
  for (const [label, share] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ]) {
    const [a, b] = [percentile(took.with, share), percentile(took.without, share)];
    rows.push({
      figure: `${label} through nginx with Latchkey, ${name}`,
      value: round(a),
      unit: 'ms',
      rounds: [`without ${round(b)}`, `added ${round(a - b)}`],
    });
  }
}

function timed(agent, path, secret) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const sent = request(
      { host: '127.0.0.1', port: nginx.port, path, agent, headers: { authorization: `Bearer ${secret}` } },
      (response) => {
        response.resume();
        response.once('end', () =>
          response.statusCode === 200
            ? resolve(performance.now() - started)
            : reject(new Error(`${path} answered ${response.statusCode}`)),
        );
      },
    );
    sent.once('error', reject);
    sent.end();
  });
}

async function startNginx() {
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-bench-nginx-'));
  const page = await readFile(new URL('../docs/gateways/nginx.md', import.meta.url), 'utf8');
  const whole = [...page.matchAll(/^```nginx\n(.*?)^```/gms)][1][1];
  const upstream = `127.0.0.1:${service.address().port}`;
  const site = whole
    .replaceAll('127.0.0.1:3000', `127.0.0.1:${latchkey.port}`)
    .replaceAll('127.0.0.1:8080', upstream)
    .replaceAll('GATEWAY_KEY', latchkey.serviceKey)
    .replace(
      'listen 80;',
      `listen 127.0.0.1:${port}; keepalive_requests 1000000; location = /without { proxy_pass http://${upstream}; } location = /ready { return 200; }`,
    );
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${directory}/${name};`)
    .join(' ');
  const main = `daemon off; master_process off; pid ${directory}/pid; error_log ${directory}/error.log warn; events {}\n`;
  await writeFile(join(directory, 'nginx.conf'), `${main}http { access_log off; ${temporary}\n${site}\n}`);
  const child = spawn(
    'nginx',
    ['-p', directory, '-e', join(directory, 'error.log'), '-c', join(directory, 'nginx.conf')],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  await untilReady(child, `http://127.0.0.1:${port}/ready`);
  return { child, directory, port };
}

function percentile(figures, share) {
  const sorted = [...figures].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function round(ms) {
  return Math.round(ms * 100) / 100;
}
