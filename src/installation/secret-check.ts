import type { EntityManager } from 'typeorm';
import { linkHash } from '../audit/chain.js';
import { StartRefusal } from '../common/start-refusal.js';
import type { Config } from '../config/config.js';
import { SECRET_NAMES, type SecretName } from '../config/generated-secrets.js';
import { MIN_SECRET_BYTES, PLAIN_VERSION, type VersionedKey } from '../config/versioned-secrets.js';
import { type Fingerprint, fingerprintOf } from './fingerprint.js';
import { InstallationRepository, type RecordedFingerprint, nameOf } from './installation.repository.js';
import { missingButNeeded } from './needed-versions.js';

/** What a check came to that refused nothing. */
export interface SecretCheck {
  readonly configured: readonly Configured[];
  /** Not yet recorded, in order of the variables. */
  readonly unrecorded: readonly Fingerprint[];
  /** The version of AUDIT_KEY that signs while the head names none. */
  readonly auditKeyVersion: string;
  /** What an operator should change all the same, a sentence each. */
  readonly warnings: readonly string[];
  /** What is worth knowing, for who asks. */
  readonly notes: readonly string[];
}

/** A configured version of a secret with what it is recognised by. */
export interface Configured extends Fingerprint {
  readonly strengthBytes: number;
  readonly isSigning: boolean;
}

const HOW_TO_CHANGE =
  'To change a secret, add the new one under a new version: docs/operations.md, "Changing a secret".';

/**
 * Holds the configured secrets against those that this database was made with. It only reads.
 *
 * @param known their fingerprints, if they were calculated before: that takes a while
 * @throws StartRefusal naming each variable and version that is not what was recorded, is missing although rows need
 * it,
 *   or is too weak to be new
 */
export async function checkSecrets(
  config: Config,
  manager: EntityManager,
  known?: readonly Configured[],
): Promise<SecretCheck> {
  const installation = new InstallationRepository(manager);
  const id = await installation.findId();
  const recorded = id === null ? [] : await installation.findFingerprints();
  const isKnown = recorded.some(({ variable }) => variable === 'AUDIT_KEY');
  const auditKeyVersion = isKnown ? PLAIN_VERSION : await provenAuditKey(config.auditKeys, installation);
  if (id === null)
    return {
      configured: [],
      unrecorded: [],
      auditKeyVersion,
      warnings: [],
      notes: ['The next start records the fingerprints of secrets.'],
    };
  const configured = known ?? (await fingerprintsOf(config, id));
  refuse([...changedSince(configured, recorded), ...(await missingButNeeded(config, recorded, installation))]);
  const unrecorded = configured.filter((one) => find(recorded, one) === undefined);
  refuse(await unfitToBeNew(unrecorded, recorded, installation));
  return {
    configured,
    unrecorded,
    auditKeyVersion,
    warnings: weakOnes(configured),
    notes: retiredOnes(config, recorded),
  };
}

/**
 * The version of AUDIT_KEY that made the newest entry of the trail. @throws StartRefusal if none has: on a database
 * without fingerprints, this is all there is to recognise it by
 */
async function provenAuditKey(keys: readonly VersionedKey[], installation: InstallationRepository): Promise<string> {
  const newest = await installation.findNewestEntry();
  if (newest === null) return keys[0]!.version;
  const { previous, body, hash } = newest;
  const maker = previous === null ? undefined : keys.find(({ key }) => linkHash(key, previous, body).equals(hash));
  if (maker !== undefined) return maker.version;
  throw new StartRefusal(
    'This database was made with another AUDIT_KEY: none of its versions has signed the newest entry of the audit trail. ' +
      'Set AUDIT_KEY to the secret this database was made with. If its value begins with a name and a colon, write it as ' +
      '1:<value>.',
  );
}

async function fingerprintsOf(config: Config, installationId: string): Promise<Configured[]> {
  const all = SECRET_NAMES.flatMap((variable) =>
    config.secrets[variable].map((key, index) => ({ variable, key, index })),
  );
  return Promise.all(
    all.map(async ({ variable, key, index }) => ({
      ...(await fingerprintOf(installationId, variable, key)),
      strengthBytes: key.strengthBytes,
      isSigning: index === 0,
    })),
  );
}

/** Versions that have another value than the one recorded. */
function changedSince(configured: readonly Configured[], recorded: readonly RecordedFingerprint[]): string[] {
  const changed = configured.filter((one) => find(recorded, one)?.fingerprint.equals(one.fingerprint) === false);
  if (changed.length === 0) return [];
  return [
    `This database was made with other secrets: ${changed.map(nameOf).join(', ')} ${changed.length === 1 ? 'has' : 'have'} another ` +
      `value than the one recorded. Set what the database was made with. ${HOW_TO_CHANGE}`,
  ];
}

/** New versions that are too weak, or that other replicas cannot know yet. */
async function unfitToBeNew(
  unrecorded: readonly Configured[],
  recorded: readonly RecordedFingerprint[],
  installation: InstallationRepository,
): Promise<string[]> {
  const isFirstStart = recorded.length === 0 && (await installation.findNewestEntry()) === null;
  const mayBeWeak = recorded.length === 0 && !isFirstStart;
  const weak = mayBeWeak ? [] : unrecorded.filter(({ strengthBytes }) => strengthBytes < MIN_SECRET_BYTES);
  const sudden =
    recorded.length === 0 || (await installation.countReplicas()) === 0
      ? []
      : unrecorded.filter(({ isSigning }) => isSigning);
  return [
    ...weak.map(
      (one) =>
        `${nameOf(one)} holds ${one.strengthBytes} bytes, and a new secret must hold ${MIN_SECRET_BYTES}: draw one with ` +
        '`npm run secrets`. Hexadecimal text counts half its length, base64 three quarters.',
    ),
    ...sudden.map(
      (one) =>
        `${nameOf(one)} is new, and other replicas run without it: put it behind the others first, restart all replicas, ` +
        'and then put it first.',
    ),
  ];
}

function weakOnes(configured: readonly Configured[]): string[] {
  const weak = configured.filter(({ strengthBytes }) => strengthBytes < MIN_SECRET_BYTES);
  if (weak.length === 0) return [];
  const which = weak.map((one) => `${nameOf(one)} (${one.strengthBytes})`).join(', ');
  return [`Fewer than ${MIN_SECRET_BYTES} bytes: ${which}. Change what is weak. ${HOW_TO_CHANGE}`];
}

/** Versions that were recorded once and are not configured: nothing needs them, or they would have been refused. */
function retiredOnes(config: Config, recorded: readonly RecordedFingerprint[]): string[] {
  return recorded
    .filter(({ variable, version }) => config.secrets[variable].every((key) => key.version !== version))
    .map((one) => `${nameOf(one)} is no longer configured.`);
}

function find(
  recorded: readonly RecordedFingerprint[],
  { variable, version }: { variable: SecretName; version: string },
): RecordedFingerprint | undefined {
  return recorded.find((one) => one.variable === variable && one.version === version);
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new StartRefusal(problems.join('\n'));
}
