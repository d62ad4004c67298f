import { describe, expect, it } from '@jest/globals';
import { load } from 'js-yaml';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { loadConfig } from '../../src/config/config.js';
import { environmentSchema } from '../../src/config/environment.js';
import { FILE_TWINS } from '../../src/config/file-twins.js';
import { SECRET_NAMES } from '../../src/config/generated-secrets.js';

interface Service {
  readonly environment: Record<string, string>;
  readonly secrets: readonly string[];
  readonly [member: string]: unknown;
}

interface Compose {
  readonly services: { readonly latchkey: Service; readonly postgres: Service };
  readonly secrets: Record<string, { file: string }>;
}

/** SIGTERM to exit, as docs/operations.md promises. */
const DRAIN_SECONDS = 10;

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string) => readFile(join(ROOT, path), 'utf8');
const dockerfile = await read('Dockerfile');
const ignored = (await read('.dockerignore')).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
const { services, secrets } = load(await read('compose.yaml')) as Compose;
const unit = await read('deploy/systemd/latchkey.service');
const page = await read('docs/deployment.md');
const known = [...Object.keys(environmentSchema.shape), ...FILE_TWINS.map((name) => `${name}_FILE`)];

/** The variables of the last stage. */
const ofImage = Object.fromEntries(
  [...dockerfile.slice(dockerfile.lastIndexOf('\nENV ')).matchAll(/^(?:ENV)? +([A-Z_]+)=(\S+)/gm)].map(
    ([, name, value]) => [name!, value!] as const,
  ),
);

describe('Dockerfile', () => {
  it('sets variables that the server reads', () => {
    expect(ofImage).toEqual({ NODE_ENV: 'production', HOST: '0.0.0.0', PORT: '3000' });
    expect(Object.keys(ofImage).filter((name) => !known.includes(name))).toEqual([]);
  });

  it('copies what is there, and the package.json of each workspace that the lock names', async () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, paths]) => paths!.split(' '));
    expect(copied.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    const lock = JSON.parse(await read('package-lock.json')) as {
      packages: Record<string, { link?: boolean; resolved?: string }>;
    };
    const workspaces = Object.values(lock.packages).flatMap(({ link, resolved }) =>
      link ? [`${resolved}/package.json`] : [],
    );
    expect(copied).toEqual(expect.arrayContaining(workspaces));
    expect(workspaces.length).toBeGreaterThan(2);
  });

  it('takes no file into its context that is not named', () => {
    const taken = ignored.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    expect(ignored[0]).toBe('*');
    expect(taken.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    expect(taken.filter((path) => /secret|\.env|\.data|\.git$|test/.test(path))).toEqual([]);
  });

  it('runs the server itself, as a user that is not root by number', () => {
    expect(dockerfile).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m);
    const [command] = [...dockerfile.matchAll(/^CMD (\[.*\])$/gm)].map(([, text]) => JSON.parse(text!) as string[]);
    expect(command).toEqual(['node', 'dist/src/server/main.js']);
    const [, health] = /^HEALTHCHECK .*\n +CMD (\[.*\])$/m.exec(dockerfile)!;
    expect((JSON.parse(health!) as string[])[2]).toContain('/health/live');
  });
});

describe('compose.yaml', () => {
  it('is a configuration that production takes', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'latchkey-compose-'));
    for (const name of SECRET_NAMES) await writeFile(join(directory, name), `${name}-5b1d9f7c3a8e6420b7f1d3c5a9e80246`);
    const set = Object.entries(services.latchkey.environment).map(([name, value]) => {
      const plain = value.replace(/^\$\{\w+:-(.*)\}$/, '$1');
      return [name, plain.startsWith('/run/secrets/') ? join(directory, basename(plain)) : plain];
    });
    const config = loadConfig({ ...ofImage, ...(Object.fromEntries(set) as Record<string, string>) });
    await rm(directory, { recursive: true });
    expect([config.nodeEnv, config.publicUrl, config.host]).toEqual(['production', 'http://127.0.0.1:3000', '0.0.0.0']);
    expect(Object.keys(services.latchkey.environment).filter((name) => !known.includes(name))).toEqual([]);
  });

  it('gives the server the five files that `npm run secrets -- secrets` draws', () => {
    expect(secrets).toEqual(Object.fromEntries(SECRET_NAMES.map((name) => [name, { file: `./secrets/${name}` }])));
    expect(services.latchkey.secrets).toEqual([...SECRET_NAMES]);
    for (const name of SECRET_NAMES) expect(services.latchkey.environment[`${name}_FILE`]).toBe(`/run/secrets/${name}`);
  });

  it('opens no port but the server’s, on loopback, and lets the server write nothing', () => {
    expect(services.latchkey).toMatchObject({ ports: ['127.0.0.1:3000:3000'], read_only: true, cap_drop: ['ALL'] });
    expect(Number.parseInt(services.latchkey['stop_grace_period'] as string, 10)).toBeGreaterThan(DRAIN_SECONDS);
    expect(services.postgres).toMatchObject({ command: expect.arrayContaining(['listen_addresses=']) });
    expect(services.postgres).not.toHaveProperty('ports');
  });
});

describe('compose.yaml while PostgreSQL makes its volume', () => {
  const { healthcheck } = services.postgres as unknown as { healthcheck: { test: [string, string] } };
  const isHealthy = async (pid: string) => {
    const directory = await mkdtemp(join(tmpdir(), 'latchkey-volume-'));
    await writeFile(join(directory, 'postmaster.pid'), `${pid}\n/var/lib/postgresql\n`);
    await writeFile(join(directory, 'pg_isready'), '#!/bin/sh\n', { mode: 0o755 });
    const env = { PGDATA: directory, PATH: `${directory}:${process.env['PATH']}` };
    const { status } = spawnSync('sh', ['-c', healthcheck.test[1].replaceAll('$$', '$')], { env });
    await rm(directory, { recursive: true });
    return status === 0;
  };

  it('waits for the server that stays, which is process 1 and has the roles', async () => {
    expect([await isHealthy('48'), await isHealthy('1')]).toEqual([false, true]);
  });
});

describe('deploy/systemd/latchkey.service', () => {
  it('waits for as long as a server drains, and signals the server alone', () => {
    expect(Number(/^TimeoutStopSec=(\d+)s$/m.exec(unit)?.[1])).toBeGreaterThan(DRAIN_SECONDS);
    expect(unit).toMatch(/^KillMode=mixed$/m);
    expect(unit).toMatch(/^ExecStart=\/usr\/bin\/node dist\/src\/server\/main\.js$/m);
    const set = [...unit.matchAll(/^Environment=(.*)$/gm)].flatMap(([, all]) =>
      all!.split(' ').map((one) => one.split('=')[0]!),
    );
    expect(set.filter((name) => !known.includes(name))).toEqual([]);
  });

  (hasSystemd() ? it : it.skip)('is a unit that systemd takes, with few rights', () => {
    const path = join(ROOT, 'deploy/systemd/latchkey.service');
    const verified = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' });
    // Of this unit alone; and its node may be elsewhere here.
    const said = verified.stderr.split('\n').filter((line) => /latchkey/.test(line) && !/is not executable/.test(line));
    expect(said).toEqual([]);
    const { stdout } = spawnSync('systemd-analyze', ['security', '--offline=true', path], { encoding: 'utf8' });
    const exposure = /Overall exposure level for latchkey\.service: ([\d.]+)/.exec(stdout)?.[1];
    // Without any of its restrictions: 9.2. Other releases of systemd look at a few rights more, or fewer.
    const [, told, release] = /`systemd-analyze security latchkey` says ([\d.]+) \(systemd (\d+)\)/.exec(page)!;
    const tolerance = releaseOfSystemd() === Number(release) ? 0.01 : 1;
    expect(Math.abs(Number(exposure) - Number(told))).toBeLessThan(tolerance);
  });
});

describe('docs/deployment.md', () => {
  it('shows a rule of the Prometheus Operator that has all alerts', () => {
    const [, command] = /```sh\n(\(printf [\s\S]*?)\) \| kubectl/.exec(page)!;
    const { stdout } = spawnSync('sh', ['-c', `${command!})`], { cwd: ROOT, encoding: 'utf8' });
    const rule = load(stdout) as { kind: string; spec: { groups: { rules: unknown[] }[] } };
    expect(rule.kind).toBe('PrometheusRule');
    expect(rule.spec.groups.flatMap(({ rules }) => rules).length).toBeGreaterThan(25);
  });

  it('names programs and files that there are', () => {
    const programs = [...page.matchAll(/node (dist\/[\w/-]+)\.js/g)].map(([, path]) => path!.replace('dist/', ''));
    expect(programs.filter((path) => !existsSync(join(ROOT, `${path}.ts`)))).toEqual([]);
    expect(programs.length).toBeGreaterThan(5);
    const links = [...page.matchAll(/\]\(([^)#]+)/g)].map(([, path]) => path!);
    expect(links.filter((path) => !existsSync(join(ROOT, 'docs', path)))).toEqual([]);
  });
});

/** 0: there is none. */
function releaseOfSystemd(): number {
  const { stdout } = spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' });
  return Number(/^systemd (\d+)/.exec(stdout ?? '')?.[1] ?? 0);
}

/** Older ones do not look at a unit that is not installed. */
function hasSystemd(): boolean {
  if (releaseOfSystemd() >= 250) return true;
  process.stderr.write('\nTEST OF THE SYSTEMD UNIT SKIPPED: there is no systemd-analyze of systemd 250 or newer.\n\n');
  return false;
}
