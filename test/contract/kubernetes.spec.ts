import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadAll } from 'js-yaml';
import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { loadConfig } from '../../src/config/config.js';
import { environmentSchema } from '../../src/config/environment.js';
import { FILE_TWINS } from '../../src/config/file-twins.js';
import { SECRET_NAMES } from '../../src/config/generated-secrets.js';
import { type Manifest, hasType, typeProblems } from '../support/kubernetes-types.js';
import { checkedInDocument } from '../support/openapi.js';

interface Container {
  readonly name: string;
  readonly image: string;
  readonly env?: readonly { name: string; value: string }[];
  readonly envFrom?: readonly unknown[];
  readonly ports?: readonly { name: string; containerPort: number }[];
  readonly volumeMounts?: readonly { name: string; mountPath: string }[];
  readonly securityContext: Record<string, unknown>;
  readonly resources: { requests: object; limits: { memory: string } };
  readonly [probe: `${string}Probe`]: { httpGet?: { path: string; port: string } } | undefined;
}

interface Pod {
  readonly of: string;
  readonly labels: Record<string, string>;
  readonly automountServiceAccountToken?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext: Record<string, unknown>;
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes: readonly { name: string; secret?: { secretName: string } }[];
}

/** Of any shape: `typeProblems` has looked at it. */
type Spec = ReturnType<typeof JSON.parse>;

/** Variables that Node reads, not the server. */
const OF_NODE = ['NODE_OPTIONS'];

/** SIGTERM to exit, as docs/operations.md promises. */
const DRAIN_SECONDS = 10;

const FOLDER = new URL('../../deploy/kubernetes/', `file://${import.meta.dirname}/`);
const read = async (name: string) => loadAll(await readFile(new URL(name, FOLDER), 'utf8')) as Manifest[];
const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml').sort();
const manifests = (await Promise.all(names.map(read))).flat();
const [kustomization] = (await read('kustomization.yaml')) as unknown as [{ resources: string[] }];

const one = (kind: string, name = 'latchkey') =>
  manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name)! as Manifest & { spec: Spec };
const settings = one('ConfigMap')['data'] as Record<string, string>;
const pods = manifests.flatMap((manifest): Pod[] => {
  const { template } = (manifest['spec'] ?? {}) as { template?: { metadata: Manifest['metadata']; spec: Pod } };
  if (template === undefined) return [];
  return [{ ...template.spec, of: manifest.metadata.name, labels: template.metadata.labels! }];
});
const servers = pods.flatMap((pod) =>
  [...pod.containers, ...(pod.initContainers ?? [])]
    .filter(({ image }) => image === 'latchkey')
    .map((container) => ({ pod, container })),
);
const [server] = pods.find(({ of }) => of === 'latchkey')!.containers as [Container];
const portsOf = (container: Container) => (container.ports ?? []).map(({ name }) => name);

/** As the server in a pod sees it, with secrets in a directory of this test. */
const environmentOf = ({ env = [] }: Container, secrets: string) =>
  Object.fromEntries(
    [...Object.entries(settings), ...env.map(({ name, value }) => [name, value] as const)].map(([name, value]) => [
      name,
      value.startsWith('/run/secrets/') ? join(secrets, basename(value)) : value,
    ]),
  );

describe('deploy/kubernetes', () => {
  let secrets: string;

  beforeAll(async () => {
    secrets = await mkdtemp(join(tmpdir(), 'latchkey-secrets-'));
    for (const name of SECRET_NAMES) await writeFile(join(secrets, name), `${name}-5b1d9f7c3a8e6420b7f1d3c5a9e80246`);
    await writeFile(join(secrets, 'DATABASE_URL'), 'postgres://latchkey_app:q7Rt2Zk9@db.internal/latchkey');
    await writeFile(join(secrets, 'DATABASE_MIGRATION_URL'), 'postgres://latchkey:m4Vx8Lp3@db.internal/latchkey');
    await writeFile(join(secrets, 'METRICS_TOKEN'), '0c9d1e7b5a3f2468ace013579bdf8642');
    await writeFile(join(secrets, 'ADMIN_PASSWORD'), 'quiet-Harbour-lantern-58');
  });
  afterAll(() => rm(secrets, { recursive: true }));

  it('is of objects that the API takes', () => {
    expect(typeProblems(manifests.filter(hasType))).toEqual([]);
    expect(manifests.filter((manifest) => !hasType(manifest)).map(({ kind }) => kind)).toEqual(['ServiceMonitor']);
    expect(manifests.length).toBeGreaterThan(10);
  });

  it('is held against types that know a wrong manifest', () => {
    const wrong = JSON.parse(JSON.stringify(one('Deployment')).replace('readinessProbe', 'readynessProbe')) as Manifest;
    const text = JSON.parse(JSON.stringify(one('Service')).replace('3000', '"3000"')) as Manifest;
    expect(typeProblems([wrong, text])).toEqual([
      expect.stringMatching(/^Deployment latchkey: .*readynessProbe/),
      expect.stringMatching(/^Service latchkey: /),
    ]);
  });

  it('is applied as a whole, but for the example', () => {
    expect([...kustomization.resources].sort()).toEqual(names.filter((name) => name !== 'sidecar.yaml'));
  });

  it('sets variables that the server reads', () => {
    const known = [...Object.keys(environmentSchema.shape), ...FILE_TWINS.map((name) => `${name}_FILE`), ...OF_NODE];
    const set = [
      ...Object.keys(settings),
      ...servers.flatMap(({ container }) => container.env ?? []).map(({ name }) => name),
    ];
    expect(set.filter((name) => !known.includes(name))).toEqual([]);
    expect(servers.map(({ container }) => container.envFrom)).toEqual(
      servers.map(() => [{ configMapRef: { name: 'latchkey' } }]),
    );
  });

  it('is a configuration that production takes', () => {
    for (const { container } of servers) {
      const config = loadConfig(environmentOf(container, secrets));
      expect([config.nodeEnv, config.host, config.port]).toEqual(['production', '0.0.0.0', 3000]);
    }
    const { METRICS_TOKEN_FILE: _, ...without } = environmentOf(server, secrets);
    expect(() => loadConfig(without)).toThrow(/METRICS_PORT/);
  });

  it('gives each server the files that its variables name', () => {
    for (const { pod, container } of servers) {
      const mounted = container.volumeMounts!.map(({ mountPath }) => mountPath);
      const paths = Object.entries({ ...settings, ...environmentOf(container, '') }).flatMap(([name]) =>
        name.endsWith('_FILE') ? [settings[name] ?? container.env!.find((one) => one.name === name)!.value] : [],
      );
      expect([pod.of, paths.filter((path) => !mounted.some((mount) => path.startsWith(`${mount}/`)))]).toEqual([
        pod.of,
        [],
      ]);
      const volumes = pod.volumes.map(({ name }) => name);
      expect(container.volumeMounts!.filter(({ name }) => !volumes.includes(name))).toEqual([]);
    }
    // The owner of the tables is known to the migration alone.
    const owners = pods.filter(({ volumes }) =>
      volumes.some(({ secret }) => secret?.secretName === 'latchkey-migration'),
    );
    expect(owners.map(({ of }) => of)).toEqual(['latchkey-migration']);
  });

  it('names ports that the server listens on', () => {
    const ports = Object.fromEntries(server.ports!.map(({ name, containerPort }) => [name, String(containerPort)]));
    expect(ports).toEqual({ http: settings['PORT'], metrics: settings['METRICS_PORT'] });
    const service = one('Service').spec.ports as { name: string; port: number; targetPort: string }[];
    expect(service.map(({ name, targetPort, port }) => [name, targetPort, String(port)])).toEqual(
      Object.entries(ports).map(([name, port]) => [name, name, port]),
    );
    for (const { ports: allowed } of one('NetworkPolicy').spec.ingress)
      expect(portsOf(server)).toContain(allowed[0].port);
    const [{ port, authorization }] = one('ServiceMonitor').spec.endpoints;
    expect([port, settings['METRICS_TOKEN_FILE']!.endsWith(`/${authorization.credentials.key}`)]).toEqual([
      'metrics',
      true,
    ]);
  });

  it('probes routes that there are', async () => {
    const { paths } = await checkedInDocument();
    const probes = servers.flatMap(({ container }) =>
      (['startupProbe', 'readinessProbe', 'livenessProbe'] as const).flatMap((kind) => {
        const { path, port } = container[kind]?.httpGet ?? {};
        return path === undefined ? [] : [{ kind, path, isPort: portsOf(container).includes(port!) }];
      }),
    );
    expect(probes.filter(({ path, isPort }) => !(path in paths) || !isPort)).toEqual([]);
    // A database that is away must not restart the servers.
    expect(probes.filter(({ kind, path }) => kind === 'livenessProbe' && path !== '/health/live')).toEqual([]);
    expect(probes.length).toBeGreaterThanOrEqual(5);
  });

  it('selects the pods that it means', () => {
    const { labels } = pods.find(({ of }) => of === 'latchkey')!;
    expect(one('Deployment').spec.selector.matchLabels).toEqual(labels);
    expect(one('Service').spec.selector).toEqual(labels);
    expect(one('PodDisruptionBudget').spec.selector.matchLabels).toEqual(labels);
    expect(one('ServiceMonitor').spec.selector.matchLabels).toEqual(one('Service').metadata.labels);
    expect(one('HorizontalPodAutoscaler').spec.scaleTargetRef.name).toBe(one('Deployment').metadata.name);
    const [{ key, values }] = one('NetworkPolicy').spec.podSelector.matchExpressions;
    expect(values).toEqual(pods.filter(({ of }) => of !== 'gateway').map((pod) => pod.labels[key]));
    const [rule] = one('Ingress').spec.rules;
    expect([`https://${rule.host}`, rule.http.paths[0].backend.service.port.name]).toEqual([
      settings['PUBLIC_URL'],
      'http',
    ]);
    expect(String(one('HorizontalPodAutoscaler').spec.maxReplicas)).toBe(settings['RATE_LIMIT_FALLBACK_REPLICAS']);
  });

  it('runs nothing as root, and nothing that writes or gains rights', () => {
    for (const pod of pods) {
      expect([pod.of, pod.automountServiceAccountToken, pod.securityContext]).toEqual([
        pod.of,
        false,
        expect.objectContaining({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }),
      ]);
      for (const { name, securityContext, resources } of [...pod.containers, ...(pod.initContainers ?? [])]) {
        expect([name, securityContext]).toEqual([
          name,
          { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
        ]);
        expect(resources.limits.memory).toMatch(/^\d+Mi$/);
      }
    }
  });

  it('bounds the heap as docs/operations.md says for 100 000 keys in use, below the memory of the containers', async () => {
    const page = await readFile(new URL('../../docs/operations.md', FOLDER), 'utf8');
    const [, said] = /`NODE_OPTIONS=(--max-old-space-size=\d+)` leaves room\s+for 100 000/.exec(page)!;
    expect(settings['NODE_OPTIONS']).toBe(said);
    const bounds = servers.map(({ container: { env = [], resources } }) => {
      const options = env.find(({ name }) => name === 'NODE_OPTIONS')?.value ?? said!;
      return { limit: Number.parseInt(resources.limits.memory, 10), heap: Number(options.split('=')[1]) };
    });
    // Young objects, code, and what lies outside of the heap.
    expect(bounds.filter(({ limit, heap }) => !(limit >= heap + 300))).toEqual([]);
    expect(bounds.filter(({ heap }) => heap === Number(said!.split('=')[1])).length).toBe(2);
  });

  it('waits for as long as a server drains', () => {
    const serving = pods.filter(({ of }) => of !== 'latchkey-migration');
    expect(
      serving.filter(({ terminationGracePeriodSeconds = 0 }) => terminationGracePeriodSeconds <= DRAIN_SECONDS),
    ).toEqual([]);
    expect(serving.length).toBe(2);
  });
});

const COMPONENT = '# components: [archives]';

(hasKubectl() ? describe : describe.skip)('deploy/kubernetes with archives', () => {
  let directory: string;
  let built: Manifest[];
  const found = (kind: string, name = 'latchkey') =>
    built.find((manifest) => manifest.kind === kind && manifest.metadata.name === name) as Manifest & { spec: Spec };
  const build = () => spawnSync('kubectl', ['kustomize', join(directory, 'kubernetes')], { encoding: 'utf8' });

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'latchkey-manifests-'));
    await cp(FOLDER, join(directory, 'kubernetes'), { recursive: true });
    const path = join(directory, 'kubernetes/kustomization.yaml');
    const text = await readFile(path, 'utf8');
    expect(text).toContain(COMPONENT);
    await writeFile(path, text.replace(COMPONENT, COMPONENT.slice('# '.length)));
    const { stdout, stderr, status } = build();
    expect([stderr, status]).toEqual(['', 0]);
    built = loadAll(stdout) as Manifest[];
  });
  afterAll(() => rm(directory, { recursive: true }));

  it('is of objects that the API takes, one more than without', () => {
    expect(typeProblems(built.filter(hasType))).toEqual([]);
    const applied = manifests.filter(({ metadata }) => !/sidecar|gateway/.test(metadata.name)).length;
    expect(built.length).toBe(applied + 1);
  });

  it('mounts one volume of all servers where the settings have the files, and in the servers alone', () => {
    const { template } = found('Deployment').spec;
    const [container] = template.spec.containers as [Container];
    const { name, mountPath } = container.volumeMounts!.find(({ mountPath: path }) => path === '/archives')!;
    const volume = template.spec.volumes.find((one: { name: string }) => one.name === name);
    const claim = found('PersistentVolumeClaim', volume.persistentVolumeClaim.claimName);
    expect(claim.spec.accessModes).toEqual(['ReadWriteMany']);
    const set = found('ConfigMap')['data'] as Record<string, string>;
    for (const path of FILES.map((variable) => set[variable]!)) expect(path.startsWith(`${mountPath}/`)).toBe(true);
    // What was there before is there still, and the group that may write is the server's.
    expect(container.volumeMounts!.length).toBe(server.volumeMounts!.length + 1);
    expect(template.spec.securityContext).toMatchObject({ runAsGroup: 1000, fsGroup: 1000 });
    expect(JSON.stringify(found('Job', 'latchkey-migration'))).not.toContain('/archives');
    expect(Object.keys(set).sort()).toEqual([...Object.keys(settings), ...FILES, ...MONTHS].sort());
    const [audit, usage] = MONTHS.map((variable) => Number(set[variable]));
    expect([audit! >= 2, usage! >= 2]).toEqual([true, true]);
    expect(environmentSchema.parse(pick(set, [...MONTHS, ...FILES]))).toBeDefined();
  });
});

const MONTHS = ['AUDIT_KEEP_MONTHS', 'USAGE_EVENTS_KEEP_MONTHS'];
const FILES = ['AUDIT_ARCHIVE_DIR', 'USAGE_ARCHIVE_DIR', 'AUDIT_CHECKPOINT_FILE'];

function pick(of: Record<string, string>, members: readonly string[]): Record<string, string> {
  return Object.fromEntries(members.map((name) => [name, of[name]!]));
}

function hasKubectl(): boolean {
  if (spawnSync('kubectl', ['kustomize', '--help']).status === 0) return true;
  process.stderr.write('\nTEST OF THE ARCHIVES OF KUBERNETES SKIPPED: there is no kubectl.\n\n');
  return false;
}
