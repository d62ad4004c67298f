/** Verify against better-auth's API-key plugin on the same PostgreSQL, limits on; 500 keys, 32 connections. */
import { join } from 'node:path';
import { end, freePort, load, spawnOn, untilReady } from '../processes.mjs';
import { median, versionOf } from '../report.mjs';

export const title = 'verify against better-auth';

const KEYS = 500;
const VERSION = versionOf('better-auth');

export async function* run(bench) {
  for (const [storage, reach] of [
    ['database', 35],
    ['memory', 8],
  ]) {
    const peer = await startPeer(bench, storage);
    try {
      yield await against(bench, peer, storage, reach);
    } finally {
      await end(peer.child);
    }
  }
}

async function against(bench, peer, storage, reach) {
  const options = { connections: 32, seconds: bench.seconds };
  await load(bench.loaderCpu, { url: peer.url, bodiesFile: peer.bodiesFile, ...options, seconds: 3 });
  const ratios = [];
  const theirs = [];
  for (let turn = 0; turn < bench.rounds; turn += 1) {
    const a = await load(bench.loaderCpu, {
      url: bench.urls.verify,
      headers: bench.headers,
      bodiesFile: bench.files.few,
      ...options,
    });
    const b = await load(bench.loaderCpu, { url: peer.url, bodiesFile: peer.bodiesFile, ...options });
    bench.requireAnswers('verify', a);
    bench.requireAnswers(`better-auth (${storage})`, b);
    ratios.push(a.requestsPerSecond / b.requestsPerSecond);
    theirs.push(b);
  }
  return {
    figure: `verify, against better-auth, ${storage === 'memory' ? 'secondary storage in memory' : 'database mode'}`,
    value: bench.round(median(ratios)),
    unit: '× better-auth',
    reach: `≥ ${reach}`,
    rounds: ratios.map(bench.round),
    detail: `better-auth ${VERSION}, ${Math.round(median(theirs.map((run) => run.requestsPerSecond)))}/s`,
  };
}

async function startPeer(bench, storage) {
  const port = await freePort();
  const bodiesFile = join(bench.latchkey.dataDir, `better-auth-${storage}`);
  const database = `peer_${storage}`;
  await bench.latchkey.query(`CREATE DATABASE ${database}`);
  const url = new URL(bench.latchkey.postgres.ownerUrl);
  url.pathname = `/${database}`;
  const child = spawnOn(bench.serverCpu, process.execPath, ['bench/servers/better-auth.mjs'], {
    cwd: new URL('../..', import.meta.url).pathname,
    env: {
      PATH: process.env.PATH,
      NODE_ENV: 'production',
      PORT: String(port),
      DATABASE_URL: String(url),
      STORAGE: storage,
      KEYS: String(KEYS),
      BODIES_FILE: bodiesFile,
    },
  });
  await untilReady(child, `http://127.0.0.1:${port}/ready`);
  return { child, bodiesFile, url: `http://127.0.0.1:${port}/verify` };
}
