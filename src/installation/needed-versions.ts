import type { EntityManager } from 'typeorm';
import type { Config } from '../config/config.js';
import { SECRET_NAMES, type SecretName } from '../config/generated-secrets.js';
import { InstallationRepository, type RecordedFingerprint } from './installation.repository.js';

/** What still needs one version of a secret. */
export interface Need {
  readonly variable: SecretName;
  readonly version: string;
  /** What needs it, to be read after "is needed by". */
  readonly by: string;
}

/**
 * What is needed in a database, for who asks; nothing is known of one that no build with fingerprints has started on.
 */
export async function neededNow(config: Config, manager: EntityManager): Promise<Need[]> {
  const installation = new InstallationRepository(manager);
  return (await installation.findId()) === null
    ? []
    : findNeeds(config, await installation.findFingerprints(), installation);
}

/**
 * Sentences about versions that rows need and the settings lack. Rows are counted only if a version is missing at all:
 * a start on a million keys must not take longer for it.
 */
export async function missingButNeeded(
  config: Config,
  recorded: readonly RecordedFingerprint[],
  installation: InstallationRepository,
): Promise<string[]> {
  const isMissing = ({ variable, version }: { variable: SecretName; version: string }) =>
    config.secrets[variable].every((key) => key.version !== version);
  const ofRows = (await installation.findPepperVersions()).map(
    (version) => ({ variable: 'API_KEY_PEPPERS', version }) as const,
  );
  const needs = await findNeeds(
    config,
    recorded,
    installation,
    [...recorded, ...ofRows].filter(isMissing).map(({ variable }) => variable),
  );
  return needs
    .filter(isMissing)
    .map(
      ({ variable, version, by }) =>
        `${variable} has no version ${version}, which is needed by ${by}: add it behind the others.`,
    );
}

/**
 * Which versions of `variables` are needed and by what. Of JWT_SECRET none is: a session that cannot be verified ends,
 * and its user signs in again. Of RESERVATION_KEY those are that may have signed open reservations before the signing
 * version was known.
 */
export async function findNeeds(
  config: Config,
  recorded: readonly RecordedFingerprint[],
  installation: InstallationRepository,
  variables: readonly SecretName[] = SECRET_NAMES,
): Promise<Need[]> {
  const finders: Partial<Record<SecretName, () => Promise<Need[]>>> = {
    API_KEY_PEPPERS: () => pepperNeeds(installation),
    TAG_KEYS: () => tagNeeds(recorded, installation),
    RESERVATION_KEY: () => reservationNeeds(config, recorded, installation),
    AUDIT_KEY: () => auditNeeds(installation),
  };
  const needs: Need[] = [];
  for (const name of new Set(variables)) needs.push(...((await finders[name]?.()) ?? []));
  return needs;
}

async function pepperNeeds(installation: InstallationRepository): Promise<Need[]> {
  const needs = [
    ...(await installation.countByPepper()).map(({ version, count }) => ({ version: version!, by: secrets(count) })),
    ...(await installation.countPasswordsByPepper()).map(({ version, count }) => ({
      version: version!,
      by: passwords(count),
    })),
    ...(await installation.countSecondFactorsByPepper()).map(({ version, count }) => ({
      version: version!,
      by: factors(count),
    })),
  ];
  const versions = [...new Set(needs.map(({ version }) => version))].sort();
  return versions.map((version) => ({
    variable: 'API_KEY_PEPPERS',
    version,
    by: needs
      .filter((need) => need.version === version)
      .map(({ by }) => by)
      .join(' and '),
  }));
}

/** A secret whose tag key was not recorded may need any of those that were there at the beginning. */
async function tagNeeds(
  recorded: readonly RecordedFingerprint[],
  installation: InstallationRepository,
): Promise<Need[]> {
  const ofTags = recorded.filter(({ variable }) => variable === 'TAG_KEYS');
  const firstMs = Math.min(...ofTags.map(({ firstSeenAt }) => firstSeenAt.getTime()));
  const oldest = ofTags.filter(({ firstSeenAt }) => firstSeenAt.getTime() === firstMs);
  return (await installation.countByTagKey()).flatMap(({ version, count }) =>
    version !== null
      ? [{ variable: 'TAG_KEYS', version, by: secrets(count) } as const]
      : oldest.map(
          (one) =>
            ({ variable: 'TAG_KEYS', version: one.version, by: `${secrets(count)} from before an upgrade` }) as const,
        ),
  );
}

async function reservationNeeds(
  config: Config,
  recorded: readonly RecordedFingerprint[],
  installation: InstallationRepository,
): Promise<Need[]> {
  const ofReservations = recorded.filter(({ variable }) => variable === 'RESERVATION_KEY');
  const signing = ofReservations.find(({ version }) => version === config.reservationKeys[0]!.version);
  const others = ofReservations.filter(
    (one) => one !== signing && (signing === undefined || one.firstSeenAt < signing.firstSeenAt),
  );
  if (others.length === 0) return [];
  const until = await installation.findReservationsUntil(signing?.firstSeenAt ?? null);
  if (until === null) return [];
  return others.map(({ version }) => ({
    variable: 'RESERVATION_KEY',
    version,
    by: `reservations that may be open until ${until.toISOString()}`,
  }));
}

async function auditNeeds(installation: InstallationRepository): Promise<Need[]> {
  return (await installation.findAuditSegments()).map(({ version, lastSeq }) => ({
    variable: 'AUDIT_KEY',
    version,
    by: lastSeq === null ? 'the newest entries of the audit trail' : `entries of the audit trail up to ${lastSeq}`,
  }));
}

function passwords(count: number): string {
  return count === 1 ? '1 password' : `${count} passwords`;
}

function factors(count: number): string {
  return count === 1 ? '1 second factor' : `${count} second factors`;
}

function secrets(count: number): string {
  return count === 1 ? '1 secret of a key' : `${count} secrets of keys`;
}
