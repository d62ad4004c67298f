import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.js';
import { DomainError, validationFailed } from './domain-error.js';

/** Bytes of the digest that a version shows: enough that two states of one thing never share it by accident. */
const VERSION_BYTES = 12;
/** More than any client collects; a bound, so that a header cannot make many. */
const MAX_TAGS = 32;
/**
 * A list of entity tags, RFC 9110 section 8.8.3; a list may have empty elements. Each blank has one place in it: an
 * expression that could read a blank in two ways would take for ever to refuse a long list.
 */
const TAGS =
  /^(?:(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*)?(?:,[ \t]*(?:(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*)?)*$/;
const TAG = /(W\/)?"([^"]*)"/g;

/** What `If-Match` asks: that the thing exists (`any`), or that its version is one of these. */
export interface Precondition {
  /** What it is about, as the audit trail calls it: a change may touch things of other types besides. */
  readonly resourceType: string;
  readonly versions: 'any' | readonly string[];
}

/**
 * The version of what `settings` say: equal settings have equal versions, on every replica. What a thing has used is no
 * setting, so that traffic never changes the version.
 */
export function versionOf(settings: Readonly<Record<string, unknown>>): string {
  return createHash('sha256').update(canonicalJson(settings)).digest().subarray(0, VERSION_BYTES).toString('base64url');
}

/** The entity tag of a version: strong, since a version has no second spelling. */
export function tagOf(version: string): string {
  return `"${version}"`;
}

/**
 * Reads `If-Match`; null where there is none. Weak tags are read and match nothing, as the comparison is the strong
 * one.
 *
 * @throws DomainError 400 for text that is no list of entity tags
 * @see RFC 9110, section 13.1.1
 */
export function preconditionOf(header: string | undefined, resourceType: string): Precondition | null {
  if (header === undefined) return null;
  const text = header.trim();
  if (text === '*') return { resourceType, versions: 'any' };
  const tags = TAGS.test(text) ? [...text.matchAll(TAG)] : [];
  if (tags.length === 0 || tags.length > MAX_TAGS) {
    throw validationFailed([{ path: 'If-Match', message: IF_MATCH_SENTENCE }]);
  }
  return { resourceType, versions: tags.filter(([, weak]) => weak === undefined).map(([, , opaque]) => opaque!) };
}

const IF_MATCH_SENTENCE = `must be *, or the version that was read, in quotes: "…"; at most ${MAX_TAGS} of them`;

/** 412: the thing is not as the caller has read it. What is public of it is `version`, and who changed it last. */
export class VersionMismatch extends DomainError {
  constructor(
    readonly resourceType: string,
    /** null: there is no such thing. */
    readonly resourceId: string | null,
    version: string | null,
    changed: { readonly by: string | null; readonly at: string } | null = null,
  ) {
    const by = changed === null ? '' : ` by ${changed.by ?? 'the server'} at ${changed.at}`;
    super(
      'precondition-failed',
      'VERSION_MISMATCH',
      version === null
        ? 'If-Match was sent, and there is nothing that it could match: send the request without it to create it.'
        : `This was changed meanwhile${by}. Nothing was done: read it again, and send the change with its new version.`,
      { version, ...(changed === null ? {} : { changedBy: changed.by, changedAt: changed.at }) },
    );
  }
}

/**
 * Lets a change go on if the caller has sent no `If-Match` about this type, or the thing is as it says. To be asked
 * behind the lock of the thing, before anything is written.
 *
 * @throws VersionMismatch
 */
export function requireVersion(
  { precondition }: { readonly precondition?: Precondition | null | undefined },
  resourceType: string,
  resourceId: string | null,
  settings: Readonly<Record<string, unknown>> | null,
): void {
  if (!precondition || precondition.resourceType !== resourceType) return;
  const version = settings === null ? null : versionOf(settings);
  if (version !== null && (precondition.versions === 'any' || precondition.versions.includes(version))) return;
  throw new VersionMismatch(resourceType, resourceId, version);
}
