import { readFile } from 'node:fs/promises';
import { appendLine } from './append-line.js';
import type { SignedAnchor } from './chain-check.js';
import { CHANGE_LINE_TYPE, openChangeLine, type SignedChangeLine } from './change-line.js';
import { type CheckpointPublicKey, openCheckpoint, type SignedCheckpoint } from './checkpoint.js';
import type { SignedReadCheckpoint } from './reads/read-checkpoint.js';
import { anchorOf, openKeyChange, type SignedKeyChange } from './key-change.js';

/** What a checkpoint file says. */
export interface CheckpointFile {
  readonly anchors: readonly SignedAnchor[];
  /** Numbers, from 1, of lines that claim to be checkpoints and were not signed with our key. */
  readonly forgedLines: readonly number[];
}

/** What a line of a checkpoint file may be. */
export type CheckpointLine = SignedCheckpoint | SignedKeyChange | SignedChangeLine | SignedReadCheckpoint;

/** Adds lines to the end of a checkpoint file, in one write. @throws as {@link appendLine} */
export function appendCheckpoint(path: string, ...lines: readonly CheckpointLine[]): Promise<void> {
  return appendLine(path, lines.map((line) => JSON.stringify(line)).join('\n'));
}

/**
 * Reads a file of checkpoints: our own, or log lines that were collected from stdout, where the checkpoint is the
 * member `auditCheckpoint`. A change of key is a checkpoint that two versions have signed. Lines that do not claim to
 * be checkpoints are passed over: what could spoil a line could as well remove it.
 *
 * @throws Error when the file cannot be read
 */
export async function readCheckpoints(path: string, keys: readonly CheckpointPublicKey[]): Promise<CheckpointFile> {
  const anchors: SignedAnchor[] = [];
  const forgedLines: number[] = [];
  for (const [index, line] of (await readFile(path, 'utf8')).split('\n').entries()) {
    const claim = claimOf(line);
    if (claim === null) continue;
    const anchor = openAnchor(keys, claim);
    if (anchor === null) forgedLines.push(index + 1);
    else anchors.push(anchor);
  }
  return { anchors, forgedLines };
}

/** The place of the chain that a line vouches for, be it a checkpoint, a change of key or a list of changes. */
export function openAnchor(keys: readonly CheckpointPublicKey[], claim: unknown): SignedAnchor | null {
  return openCheckpoint(keys, claim) ?? openChange(keys, claim) ?? openChangeLine(keys, claim)?.anchor ?? null;
}

function openChange(keys: readonly CheckpointPublicKey[], claim: unknown): SignedAnchor | null {
  const change = openKeyChange(keys, claim);
  return change === null ? null : anchorOf(change);
}

/** What a line claims to be, of the kinds that `openAnchor` knows; null for other lines of a log. */
export function claimOf(line: string): unknown {
  if (!['latchkey-audit-checkpoint', 'latchkey-audit-key-change', CHANGE_LINE_TYPE].some((type) => line.includes(type)))
    return null;
  try {
    const value = JSON.parse(line) as Record<string, unknown>;
    return 'auditCheckpoint' in value ? value['auditCheckpoint'] : value;
  } catch {
    return null;
  }
}
